// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>
#include <span>

#include "core/base/types.hpp"

namespace mm::variable {

/// A NOR flash in memory: erasing makes bytes 0xFF, programming can only clear bits, one byte at a time. Its power can
/// be cut after so many bytes: from then on nothing changes any more.
class Flash {
 public:
  static constexpr u64 kSteady = UINT64_MAX;

  constexpr Flash() noexcept = default;
  explicit Flash(std::span<u8> memory) noexcept : memory_(memory) {}

  u64 size() const noexcept { return memory_.size(); }
  /// `offset + sizeof(T)` must be inside.
  template <typename T>
  T read(u64 offset) const noexcept {
    T value{};
    __builtin_memcpy(&value, at(offset), sizeof(T));
    return value;
  }
  /// What is read behind `offset`, which must be inside.
  u8 const* at(u64 offset) const noexcept { return memory_.data() + offset; }

  /// Programs `bytes` at `offset`, both inside. False: a bit would have to be set, and nothing is written; or the power
  /// failed, and a part is.
  bool write(u64 offset, void const* from, u64 bytes) noexcept {
    auto const* const source = static_cast<u8 const*>(from);
    for (u64 i = 0; i < bytes; ++i) {
      if ((memory_[offset + i] & source[i]) != source[i]) {
        return false;
      }
    }
    for (u64 i = 0; i < bytes; ++i) {
      if (!powered()) {
        return false;
      }
      memory_[offset + i] = source[i];
      ++programmed_;
    }
    return true;
  }
  /// Erases `bytes` at `offset`. False: the power failed, and a part is erased.
  bool erase(u64 offset, u64 bytes) noexcept {
    ++erases_;
    for (u64 i = 0; i < bytes; ++i) {
      if (!powered()) {
        return false;
      }
      memory_[offset + i] = 0xFF;
    }
    return true;
  }

  /// The power fails after so many more bytes; kSteady: not at all.
  void fail_after(u64 bytes) noexcept { power_ = bytes; }
  /// Wear: bytes programmed and erasures so far.
  u64 programmed() const noexcept { return programmed_; }
  u64 erases() const noexcept { return erases_; }

 private:
  bool powered() noexcept {
    if (power_ == kSteady) {
      return true;
    }
    if (power_ == 0) {
      return false;
    }
    --power_;
    return true;
  }

  std::span<u8> memory_;
  u64 power_ = kSteady;
  u64 programmed_ = 0;
  u64 erases_ = 0;
};

}  // namespace mm::variable
