// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>

#include "core/base/types.hpp"
#include "hal/roles/machine.hpp"

namespace mm::supervisor {

template <hal::Machine M>
class AddressSpace;

/// What ring 0 wants to do with memory of ring 3.
enum class Access : u8 { Read, Write };

/// Bytes that are ring 3's: what AddressSpace::claim() makes of a UserAddr, and nothing else does. Good until ring 3
/// runs again or the tables change.
class UserRange {
 public:
  constexpr u64 base() const noexcept { return range_.base; }
  constexpr u64 bytes() const noexcept { return range_.size; }

  /// Writes the first bytes of a range that was claimed for Access::Write; `from` is not longer than it.
  template <hal::Cpu C>
  void write(C& cpu, std::span<std::byte const> from) const noexcept {
    hal::UserAccess access(cpu);
    cpu.write(PhysAddr{range_.base}, from);
  }

 private:
  template <hal::Machine M>
  friend class AddressSpace;
  explicit constexpr UserRange(Range range) noexcept : range_(range) {}

  Range range_;
};

}  // namespace mm::supervisor
