// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

namespace mm::sim {

/// A device that a scenario brings: a range of physical addresses or of ports, with registers behind it. Accesses are
/// 1, 2 or 4 bytes and inside the range; an access of 8 bytes comes as two.
class Window {
 public:
  virtual ~Window() = default;
  virtual u32 read(u64 offset, u32 bytes) noexcept = 0;
  virtual void write(u64 offset, u32 bytes, u32 value) noexcept = 0;
  /// What a CPU outside MM reads, which may be less.
  virtual u32 read_outside_mm(u64 offset, u32 bytes) noexcept { return read(offset, bytes); }
  /// A write from outside MM.
  virtual void write_outside_mm(u64 offset, u32 bytes, u32 value) noexcept { write(offset, bytes, value); }
  /// Remembers its state, and brings it back.
  virtual void snapshot() = 0;
  virtual void reset() noexcept = 0;
};

}  // namespace mm::sim
