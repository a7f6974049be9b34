// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>
#include <type_traits>

#include "hal/roles/machine.hpp"

namespace mm::supervisor {

/// One object of the normal world as it was when it was fetched, each byte once, into memory of ring 0. Whoever takes a
/// Copied decides on bytes that nobody changes any more: it is made by a fetch and by nothing else.
template <typename T>
class Copied {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  template <hal::PhysMemory Mem>
  static Copied from(Mem& memory, PhysAddr at) noexcept {
    return first(memory, at, sizeof(T));
  }
  /// Only the first `bytes`; the others are as in a T{} until fetch_rest() is called, with the same address.
  template <hal::PhysMemory Mem>
  static Copied first(Mem& memory, PhysAddr at, u64 bytes) noexcept {
    Copied copy;
    memory.read(at, std::as_writable_bytes(std::span(&copy.value_, 1)).first(bytes));
    return copy;
  }
  template <hal::PhysMemory Mem>
  void fetch_rest(Mem& memory, PhysAddr at, u64 bytes) noexcept {
    memory.read(at + bytes, std::as_writable_bytes(std::span(&value_, 1)).subspan(bytes));
  }

  constexpr T const& operator*() const noexcept { return value_; }
  constexpr T const* operator->() const noexcept { return &value_; }
  std::span<std::byte const> bytes() const noexcept { return std::as_bytes(std::span(&value_, 1)); }

 private:
  constexpr Copied() noexcept = default;

  T value_{};
};

}  // namespace mm::supervisor
