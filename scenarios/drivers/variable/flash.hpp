// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>
#include <span>

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace mm::variable {

/// A NOR flash in memory: erasing makes every byte 0xFF, writing can only clear bits. So the store has to work as it
/// would on a part with blocks.
class Flash {
 public:
  constexpr Flash() noexcept = default;
  explicit Flash(std::span<u8> memory) noexcept : memory_(memory) {}

  u64 size() const noexcept { return memory_.size(); }
  /// `offset + sizeof(T)` must be inside.
  template <typename T>
  T read(u64 offset) const noexcept {
    return driver::get<T>(memory_.data(), offset);
  }
  /// `offset + bytes` must be inside.
  u8 const* at(u64 offset) const noexcept { return memory_.data() + offset; }

  /// Programs `bytes` at `offset`, both inside. False: a bit would have to be set, and nothing is written.
  bool write(u64 offset, void const* from, u64 bytes) noexcept {
    auto const* const source = static_cast<u8 const*>(from);
    for (u64 i = 0; i < bytes; ++i) {
      if ((memory_[offset + i] & source[i]) != source[i]) {
        return false;
      }
    }
    for (u64 i = 0; i < bytes; ++i) {
      memory_[offset + i] = source[i];
    }
    return true;
  }
  void erase() noexcept { __builtin_memset(memory_.data(), 0xFF, memory_.size()); }

 private:
  std::span<u8> memory_;
};

}  // namespace mm::variable
