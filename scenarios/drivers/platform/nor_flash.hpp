// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

/// A NOR flash with Intel's command set (CFI 01), eight bits wide, as q35 has it. Reads need no command: it is left in
/// array mode.
namespace platform_driver {

using mm::u64;
using mm::u8;

class NorFlash {
 public:
  static constexpr u64 kBlockBytes = 0x1000;

  NorFlash() = default;
  NorFlash(u64 base, u64 bytes) noexcept : base_(base), bytes_(bytes) {}

  u64 base() const noexcept { return base_; }
  u64 bytes() const noexcept { return bytes_; }
  u64 blocks() const noexcept { return bytes_ / kBlockBytes; }

  /// Whether commands reach a flash: after "read status" a byte reads as its status, and after "read array" as before.
  bool is_there() const noexcept;
  void read(u64 offset, void* to, u64 bytes) const noexcept;
  /// False: the flash reports an error.
  bool program(u64 offset, void const* from, u64 bytes) const noexcept;
  bool erase(u64 block) const noexcept;

 private:
  u8 volatile& at(u64 offset) const noexcept { return *reinterpret_cast<u8 volatile*>(base_ + offset); }
  bool finish(u64 offset) const noexcept;

  u64 base_ = 0;
  u64 bytes_ = 0;
};

}  // namespace platform_driver
