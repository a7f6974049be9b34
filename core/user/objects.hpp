// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <boost/intrusive/set.hpp>
#include <boost/intrusive/set_hook.hpp>
#include <new>

#include "core/user/pool.hpp"

/// Records of the databases: each is a pool block of its own, found in ordered trees, so it never moves and looking one
/// up among n takes log n steps.
namespace mm::user {

using TreeHook = boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;

/// A tree of `T` ordered by `KeyOf`, linked through the member `Hook` of T. Owns nothing.
template <typename T, TreeHook T::* Hook, typename KeyOf>
using Tree = boost::intrusive::set<T, boost::intrusive::member_hook<T, TreeHook, Hook>,
                                   boost::intrusive::key_of_value<KeyOf>, boost::intrusive::constant_time_size<false>>;

/// Makes a T in pool memory. OutOfResources.
template <typename T, Ring3 R>
Expected<T*> make(Pool<R>& pool) noexcept {
  MM_TRY_ASSIGN(void* const memory, pool.allocate(sizeof(T)));
  return new (memory) T{};
}
/// Gives the memory of an object of make() back.
template <typename T, Ring3 R>
void discard(Pool<R>& pool, T* object) noexcept {
  object->~T();
  static_cast<void>(pool.free(object));
}

}  // namespace mm::user
