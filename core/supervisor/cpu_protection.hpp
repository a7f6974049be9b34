// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <bit>

#include "hal/roles/machine.hpp"

/// Protections of MMRAM that a CPU has besides page tables (Intel SDM vol. 3, 11.11.2.4, 34.4.2.1 and 34.15;
/// supervisor.md 3.4): SMRR, the SMM code access check, the base of MSEG. Each CPU does it in its first MMI. What a CPU
/// does not report is left out: AMD and QEMU protect TSEG by other means.
namespace mm::supervisor {

inline constexpr u32 kMsrMtrrCap = 0xFE;
inline constexpr u32 kMsrSmmMonitorControl = 0x9B;
inline constexpr u32 kMsrSmmMcaCap = 0x17D;
inline constexpr u32 kMsrSmrrBase = 0x1F2;
inline constexpr u32 kMsrSmrrMask = 0x1F3;
inline constexpr u32 kMsrVmxBasic = 0x480;
inline constexpr u32 kMsrSmmFeatureControl = 0x4E0;

inline constexpr u64 kMtrrCapSmrr = 1ull << 11;
inline constexpr u64 kMtrrCapSmrrLock = 1ull << 14;
inline constexpr u64 kSmrrWriteBack = 6;
inline constexpr u64 kSmrrLock = 1ull << 10;
inline constexpr u64 kSmrrValid = 1ull << 11;
inline constexpr u64 kSmmCodeAccessCap = 1ull << 58;
inline constexpr u64 kSmmCodeCheck = 5;  ///< lock and enable
inline constexpr u64 kMonitorValid = 1;

/// Whether one SMRR can cover `mmram`: an aligned power of two, below 4 GiB.
constexpr bool is_smrr_block(Range mmram) noexcept {
  return std::has_single_bit(mmram.size) && mmram.size >= kPageSize && mmram.base % mmram.size == 0 &&
         mmram.base >> 32 == 0;
}

template <hal::Cpu C>
bool has_smrr(C& cpu) noexcept {
  return (cpu.read_msr(kMsrMtrrCap).value_or(0) & kMtrrCapSmrr) != 0;
}

/// SMRR over `mmram`, which is_smrr_block(): valid, and locked where the CPU can. Left alone when it is locked already.
template <hal::Cpu C>
Expected<void> program_smrr(C& cpu, Range mmram) noexcept {
  if (!has_smrr(cpu) || mmram.size == 0) {
    return {};
  }
  MM_TRY_ASSIGN(u64 const cap, cpu.read_msr(kMsrMtrrCap));
  MM_TRY_ASSIGN(u64 const mask, cpu.read_msr(kMsrSmrrMask));
  if ((mask & kSmrrLock) != 0) {
    return {};
  }
  u64 const lock = (cap & kMtrrCapSmrrLock) != 0 ? kSmrrLock : 0;
  MM_TRY(cpu.write_msr(kMsrSmrrBase, mmram.base | kSmrrWriteBack));
  return cpu.write_msr(kMsrSmrrMask, (~(mmram.size - 1) & 0xFFFF'F000) | kSmrrValid | lock);
}

/// No fetch outside MMRAM while in MM.
template <hal::Cpu C>
Expected<void> enable_code_check(C& cpu) noexcept {
  if ((cpu.read_msr(kMsrSmmMcaCap).value_or(0) & kSmmCodeAccessCap) == 0) {
    return {};
  }
  MM_TRY_ASSIGN(u64 const control, cpu.read_msr(kMsrSmmFeatureControl));
  return cpu.write_msr(kMsrSmmFeatureControl, control | kSmmCodeCheck);
}

/// Whether an SMM-transfer monitor lies in MSEG: its header has a GDT (Intel SDM vol. 3, 32.15.5.1). An MSEG that is
/// protected and empty is all zeros.
template <hal::Cpu C>
bool has_monitor(C& cpu, u64 mseg) noexcept {
  constexpr u64 kGdtrLimit = 8;
  return hal::read_object<u32>(cpu, PhysAddr{mseg + kGdtrLimit}) != 0;
}

/// Tells a CPU with VMX where MSEG is, and that it is VALID when a monitor lies there: without one, VMCALL of the
/// normal world would load the state of MM from zeros. 0: nowhere.
template <hal::Cpu C>
Expected<void> program_mseg(C& cpu, u64 mseg) noexcept {
  if (mseg == 0 || cpu.read_msr(kMsrVmxBasic).value_or(0) == 0) {
    return {};
  }
  return cpu.write_msr(kMsrSmmMonitorControl, mseg | (has_monitor(cpu, mseg) ? kMonitorValid : 0));
}

/// All of it. An error: the CPU reports a protection and refuses its registers.
template <hal::Cpu C>
Expected<void> protect_mmram(C& cpu, Range mmram, u64 mseg) noexcept {
  MM_TRY(program_smrr(cpu, mmram));
  MM_TRY(enable_code_check(cpu));
  return program_mseg(cpu, mseg);
}

}  // namespace mm::supervisor
