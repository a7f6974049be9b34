// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <bit>

#include "core/arch/msr.hpp"
#include "hal/roles/machine.hpp"

/// Protections of MMRAM that a CPU has besides page tables (Intel SDM vol. 3, 11.11.2.4, 34.4.2.1 and 34.15;
/// core/ARCHITECTURE.md 9): SMRR, the SMM code access check, the base of MSEG. Each CPU does it in its first MMI. What
/// a CPU does not report is left out: AMD and QEMU protect TSEG by other means.
namespace mm::supervisor {

/// Whether one SMRR can cover `mmram`: an aligned power of two, below 4 GiB.
constexpr bool is_smrr_block(Range mmram) noexcept {
  return std::has_single_bit(mmram.size) && mmram.size >= kPageSize && mmram.base % mmram.size == 0 &&
         mmram.base >> 32 == 0;
}

template <hal::Cpu C>
bool has_smrr(C& cpu) noexcept {
  return (cpu.read_msr(arch::kMsrMtrrCap).value_or(0) & arch::kMtrrCapSmrr) != 0;
}

/// SMRR over `mmram`, which is_smrr_block(): valid, and locked where the CPU can. Left alone when it is locked already.
template <hal::Cpu C>
Expected<void> program_smrr(C& cpu, Range mmram) noexcept {
  if (!has_smrr(cpu) || mmram.size == 0) {
    return {};
  }
  MM_TRY_ASSIGN(u64 const cap, cpu.read_msr(arch::kMsrMtrrCap));
  MM_TRY_ASSIGN(u64 const mask, cpu.read_msr(arch::kMsrSmrrMask));
  if ((mask & arch::kSmrrLock) != 0) {
    return {};
  }
  u64 const lock = (cap & arch::kMtrrCapSmrrLock) != 0 ? arch::kSmrrLock : 0;
  MM_TRY(cpu.write_msr(arch::kMsrSmrrBase, mmram.base | arch::kSmrrWriteBack));
  return cpu.write_msr(arch::kMsrSmrrMask, (~(mmram.size - 1) & 0xFFFF'F000) | arch::kSmrrValid | lock);
}

/// No fetch outside MMRAM while in MM.
template <hal::Cpu C>
Expected<void> enable_code_check(C& cpu) noexcept {
  if ((cpu.read_msr(arch::kMsrSmmMcaCap).value_or(0) & arch::kSmmCodeAccessCap) == 0) {
    return {};
  }
  MM_TRY_ASSIGN(u64 const control, cpu.read_msr(arch::kMsrSmmFeatureControl));
  return cpu.write_msr(arch::kMsrSmmFeatureControl, control | arch::kSmmCodeCheck | arch::kSmmFeatureLock);
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
  if (mseg == 0 || cpu.read_msr(arch::kMsrVmxBasic).value_or(0) == 0) {
    return {};
  }
  return cpu.write_msr(arch::kMsrSmmMonitorControl, mseg | (has_monitor(cpu, mseg) ? arch::kMonitorValid : 0));
}

/// All of it. An error: the CPU reports a protection and refuses its registers.
template <hal::Cpu C>
Expected<void> protect_mmram(C& cpu, Range mmram, u64 mseg) noexcept {
  MM_TRY(program_smrr(cpu, mmram));
  MM_TRY(enable_code_check(cpu));
  return program_mseg(cpu, mseg);
}

}  // namespace mm::supervisor
