// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/syscalls.hpp"
#include "core/base/types.hpp"

namespace mm::sim {

/// The ACPI and SMI registers of the LPC bridge as QEMU has them, by their offset from PMBASE. Part of a snapshot. The
/// TCO timer holds its reset values and does not run.
class PmBlock {
 public:
  static constexpr u16 kBytes = 0x80;

  /// Reads of a width that a register does not take give 0, as there; all ones where there is none.
  u32 in(u16 offset, abi::IoWidth width, u64 time_ns) const noexcept;
  /// True: the machine is switched off (SLP_EN with the type of S5).
  bool out(u16 offset, abi::IoWidth width, u32 value, bool smi_locked) noexcept;
  /// By a value in port 0xB2: SCI_EN.
  void set_sci(bool on) noexcept { control_ = static_cast<u16>(on ? control_ | 1 : control_ & ~1); }
  bool apm_smi() const noexcept { return (smi_enable_ & 0x20) != 0; }

 private:
  u8 byte(u16 offset, u64 time_ns) const noexcept;

  u16 status_ = 1;  ///< PM1_STS: the timer has overflowed before the firmware looked
  u16 enable_ = 0;
  u16 control_ = 0;
  u32 smi_enable_ = 0;
};

}  // namespace mm::sim
