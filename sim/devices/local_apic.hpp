// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/arch/ipi.hpp"

namespace mm::sim {

/// One interrupt that an APIC sends: `command` is the low half of the ICR.
struct Ipi {
  u32 command = 0;
  u32 destination = 0;
};

/// Local APIC of one CPU in xAPIC mode, as QEMU's (version 0x14, six local vectors). Interrupts are accepted into IRR
/// and stay there: the normal world runs with interrupts off. Trivially copyable.
class LocalApic {
 public:
  LocalApic() noexcept = default;
  explicit LocalApic(u32 id) noexcept : id_(id) {}

  /// One aligned dword at an offset in the page; registers are 16 bytes apart.
  u32 read(u32 offset) const noexcept;
  /// True: `sent` is to be delivered.
  bool write(u32 offset, u32 value, Ipi& sent) noexcept;
  /// A fixed interrupt arrives; lost while SVR says that the APIC is off.
  void accept(u8 vector) noexcept;
  void init() noexcept { *this = LocalApic(id_); }

 private:
  static constexpr u32 kLocalVectors = 6;
  static constexpr u32 kMasked = 0x1'0000;
  u32 id_ = 0;
  u32 task_priority_ = 0;
  u32 logical_id_ = 0;
  u32 format_ = 0xFFFF'FFFF;
  u32 spurious_ = 0xFF;
  u32 error_ = 0;
  u32 icr_low_ = 0;
  u32 icr_high_ = 0;
  u32 timer_count_ = 0;
  u32 timer_divide_ = 0;
  std::array<u32, kLocalVectors> local_{kMasked, kMasked, kMasked, kMasked, kMasked, kMasked};
  std::array<u32, 8> requested_{};  ///< IRR
};

}  // namespace mm::sim
