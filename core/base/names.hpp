// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <cstddef>

/// Lists of enumerators with their names, from which decoders and pages are made.
namespace mm {

/// An enumerator and how it is spelt for people.
template <typename E>
struct Named {
  E value;
  char const* name;
};
template <typename E>
Named(E, char const*) -> Named<E>;

/// The name of `value` in a list; null when the list does not have it.
template <typename E, std::size_t N>
constexpr char const* name_in(std::array<Named<E>, N> const& names, E value) noexcept {
  for (Named<E> const& one : names) {
    if (one.value == value) {
      return one.name;
    }
  }
  return nullptr;
}

}  // namespace mm
