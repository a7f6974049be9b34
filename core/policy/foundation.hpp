// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <optional>

#include "core/abi/platform.hpp"
#include "core/policy/policy.hpp"

/// What ring 0 stands on: MSRs, ports and instructions with which ring 3 could end its isolation, move the ground under
/// the supervisor or stop it. They are refused before the policy is asked, whatever it says. One table for the gate of
/// the system calls, for `mmsim policy lint`, `explain` and `learn`, and for the test that tries each row.
///
/// Rows refuse writes: no value that ring 3 could read here opens a way in, and edk2's libraries read MTRRs, APIC base
/// and EFER. Whether ring 3 may read is the policy's business. An SMM driver that must write one of them belongs into
/// ring 0. Sources: Intel SDM vol. 4, chapter 2; AMD APM vol. 2, appendix A, and the processor programming references.
namespace mm::policy {

/// The registers, ports or PCI registers [first, last], or one instruction.
struct Foundation {
  u32 first = 0;
  u32 last = 0;
  char const* name = nullptr;  ///< as the manuals spell it
  char const* why = nullptr;   ///< what a write could do; no full stop
};

/// Ascending, without overlap.
inline constexpr std::array kFoundationMsrs{
    Foundation{0x10, 0x10, "IA32_TIME_STAMP_COUNTER", "the clock of ring 0, by which every wait ends"},
    Foundation{0x1B, 0x1B, "IA32_APIC_BASE", "lays the local APIC over MMRAM, or moves the BSP flag"},
    Foundation{0x3A, 0x3B, "IA32_FEATURE_CONTROL, IA32_TSC_ADJUST", "VMX and its lock; the clock of ring 0"},
    Foundation{0x48, 0x48, "IA32_SPEC_CTRL", "takes the protection against speculation from ring 0"},
    Foundation{0x79, 0x7A, "IA32_BIOS_UPDT_TRIG, IA32_FEATURE_ACTIVATION", "loads microcode, opens features"},
    Foundation{0x80, 0x80, "MSR_TRACE_HUB_STH_ACPIBAR_BASE", "lays the trace hub over memory"},
    Foundation{0x9B, 0x9B, "IA32_SMM_MONITOR_CTL", "names the code that an SMM-transfer monitor starts from"},
    Foundation{0x9E, 0x9E, "IA32_SMBASE", "moves MMI entry code and save state"},
    Foundation{0xE4, 0xE4, "MSR_PMG_IO_CAPTURE_BASE", "turns reads of ports into waits that nothing ends"},
    Foundation{0x122, 0x123, "IA32_TSX_CTRL, IA32_MCU_OPT_CTRL", "takes mitigations from ring 0"},
    Foundation{0x150, 0x150, "MSR_OC_MAILBOX", "changes the voltage until ring 0 computes wrongly"},
    Foundation{0x174, 0x176, "IA32_SYSENTER_CS, IA32_SYSENTER_ESP, IA32_SYSENTER_EIP", "SYSENTER enters ring 0 there"},
    Foundation{0x1A0, 0x1A0, "IA32_MISC_ENABLE", "disables execute-disable"},
    Foundation{0x1C4, 0x1C5, "IA32_XFD, IA32_XFD_ERR", "makes instructions of ring 0 fault"},
    Foundation{0x1CC, 0x1D4, "IA32_FRED_*", "event stacks and entry points of ring 0"},
    Foundation{0x1D9, 0x1D9, "IA32_DEBUGCTL", "branch trace messages and stores, single steps on branches in ring 0"},
    Foundation{0x1F2, 0x1F7, "IA32_SMRR_PHYSBASE, IA32_SMRR_PHYSMASK, PRMRR, SMRR2", "uncovers MMRAM in the cache"},
    Foundation{0x200, 0x26F, "IA32_MTRR_PHYSBASEn, IA32_MTRR_PHYSMASKn, IA32_MTRR_FIX*", "memory types of MMRAM"},
    Foundation{0x277, 0x277, "IA32_PAT", "memory types of ring 0's pages"},
    Foundation{0x2A0, 0x2AA, "MSR_PRMRR_BASE_n", "protected memory of the processor"},
    Foundation{0x2E7, 0x2E7, "MSR_LT_LOCK_MEMORY", "locks and unlocks memory configuration"},
    Foundation{0x2FF, 0x2FF, "IA32_MTRR_DEF_TYPE", "memory types of MMRAM"},
    Foundation{0x3F1, 0x3F2, "IA32_PEBS_ENABLE, MSR_PEBS_DATA_CFG", "the CPU writes records to memory by itself"},
    Foundation{0x4E0, 0x4E3, "MSR_SMM_FEATURE_CONTROL, MSR_SMM_DELAYED, MSR_SMM_BLOCKED",
               "the code access check of SMM"},
    Foundation{0x560, 0x5FF, "IA32_RTIT_*", "processor trace writes memory by itself, tables and MMRAM too"},
    Foundation{0x600, 0x600, "IA32_DS_AREA", "the CPU writes branch and PEBS records there by itself"},
    Foundation{0x6A0, 0x6A8, "IA32_U_CET, IA32_S_CET, IA32_PLx_SSP, IA32_INT_SSP_TAB", "shadow stacks of ring 0"},
    Foundation{0x6E0, 0x6E1, "IA32_TSC_DEADLINE, IA32_PKRS", "timer of ring 0, protection keys of its pages"},
    Foundation{0x7A5, 0x7A5, "IA32_MCU_STAGING_MBOX_ADDR", "loads microcode"},
    Foundation{0x800, 0x8FF, "x2APIC", "sends INIT, SIPI, NMI and SMI to CPUs that are in MM"},
    Foundation{0x981, 0x984, "IA32_TME_*", "memory encryption, and what is excluded from it"},
    Foundation{0x985, 0x98A, "IA32_UINTR_*", "the CPU writes posted interrupts to memory by itself"},
    Foundation{0xC80, 0xC80, "IA32_DEBUG_INTERFACE", "opens the processor to a debugger"},
    Foundation{0xD90, 0xD90, "IA32_BNDCFGS", "bounds of ring 0"},
    Foundation{0xDA0, 0xDA0, "IA32_XSS", "supervisor state that XSAVES moves"},
    Foundation{0x1400, 0x1401, "IA32_SEAMRR_PHYS_BASE, IA32_SEAMRR_PHYS_MASK", "a mode above SMM"},
    Foundation{0x14CE, 0x14CF, "IA32_LBR_CTL, IA32_LBR_DEPTH", "records where ring 0 branches"},
    Foundation{0x17D0, 0x17DA, "IA32_HW_FEEDBACK_*", "the CPU writes a table to memory by itself"},
    Foundation{0xC000'0080, 0xC000'0084, "IA32_EFER, STAR, LSTAR, CSTAR, FMASK",
               "paging rights, and where SYSCALL enters"},
    Foundation{0xC000'0100, 0xC000'0104, "FS.Base, GS.Base, KernelGSBase, TSC_AUX, TscRateMsr",
               "addresses that ring 0 uses, and its clock"},
    Foundation{0xC001'0010, 0xC001'0010, "SYSCFG", "memory types and encryption of MMRAM"},
    Foundation{0xC001'0015, 0xC001'0020, "HWCR, IORRn, TOP_MEM, TOP_MEM2, PATCH_LOADER",
               "the lock of MMRAM, memory map, microcode"},
    Foundation{0xC001'0050, 0xC001'0058, "SMI_ON_IO_TRAP_n, SMI_ON_IO_TRAP_CTL_STS, MMIO_CFG_BASE_ADDR",
               "which I/O raises MMIs; configuration space over MMRAM"},
    Foundation{0xC001'0111, 0xC001'011F, "SMBASE, SMM_ADDR, SMM_MASK, VM_CR, SMM_CTL, VM_HSAVE_PA, SMM_KEY",
               "place, protection and state of SMM"},
    Foundation{0xC001'0130, 0xC001'0143, "GHCB, SEV_STATUS, RMP_BASE, RMP_END", "memory that the processor protects"},
    Foundation{0xC001'1000, 0xC001'10FF, "LS_CFG, IC_CFG, DC_CFG, DRn_ADDR_MASK, IBS_*",
               "how the core executes; breakpoints; samples that raise NMIs"},
};

/// Ascending, without overlap. The data ports of PCI configuration space depend on the address port: kFoundationPci.
inline constexpr std::array kFoundationPorts{
    Foundation{0x92, 0x92, "port 92h", "masks address line 20, and resets the processor"},
    Foundation{platform::kPortApmCnt, platform::kPortApmCnt, "APM_CNT",
               "raises the next MMI from inside this one, for ever"},
    Foundation{platform::kPortExit, platform::kPortExit, "isa-debug-exit", "ends the machine of the testbed"},
    Foundation{platform::kPortDebugConsole, platform::kPortDebugConsole, "debug console",
               "forges the supervisor's trace"},
};

inline constexpr u16 kPortConfigAddress = 0xCF8;
inline constexpr u16 kPortConfigData = 0xCFC;

/// Registers of PCI configuration space on bus 0: device << 11 | function << 8 | register.
constexpr u32 pci_register(u32 device, u32 function, u32 offset) noexcept {
  return device << 11 | function << 8 | offset;
}
/// Ascending, without overlap. Host bridges differ from board to board, so that theirs is refused whole.
inline constexpr std::array kFoundationPci{
    Foundation{pci_register(0, 0, 0), pci_register(0, 7, 0xFF), "00:00.x host bridge",
               "SMRAM control, TSEG, PAM, remap, PCIEXBAR and their locks"},
    Foundation{pci_register(0x18, 0, 0), pci_register(0x1E, 7, 0xFF), "00:18.x to 00:1E.x",
               "memory map and node configuration of AMD processors, bridges"},
    Foundation{pci_register(0x1F, 0, 0x40), pci_register(0x1F, 0, 0x4F), "00:1F.0 PMBASE, ACPI_CNTL, GPIOBASE",
               "moves the registers that enable MMIs and keep time"},
    Foundation{pci_register(0x1F, 0, 0xA0), pci_register(0x1F, 0, 0xAF), "00:1F.0 GEN_PMCON", "SMI_LOCK and its kin"},
    Foundation{pci_register(0x1F, 0, 0xF0), pci_register(0x1F, 0, 0xF3), "00:1F.0 RCBA",
               "moves the chipset's lock registers"},
    Foundation{pci_register(0x1F, 1, 0), pci_register(0x1F, 1, 0xFF), "00:1F.1 P2SB",
               "the chipset's private registers"},
};

inline constexpr std::array kFoundationInstructions{
    Foundation{static_cast<u32>(Instruction::Hlt), static_cast<u32>(Instruction::Hlt), "HLT",
               "nothing wakes a CPU in MM: interrupts are off and an SMI waits for RSM"},
};

namespace detail {
template <std::size_t N>
constexpr Foundation const* row_of(std::array<Foundation, N> const& rows, u64 first, u64 last) noexcept {
  for (Foundation const& row : rows) {
    if (first <= row.last && last >= row.first) {
      return &row;
    }
  }
  return nullptr;
}
template <std::size_t N>
constexpr bool is_ascending(std::array<Foundation, N> const& rows) noexcept {
  for (std::size_t i = 0; i < N; ++i) {
    if (rows[i].last < rows[i].first || (i != 0 && rows[i].first <= rows[i - 1].last)) {
      return false;
    }
  }
  return true;
}
static_assert(is_ascending(kFoundationMsrs) && is_ascending(kFoundationPorts) && is_ascending(kFoundationPci));
}  // namespace detail

/// The row that refuses this access to an MSR; null: ask the policy.
constexpr Foundation const* foundation_of_msr(u32 msr, u16 access) noexcept {
  return access == kWrite ? detail::row_of(kFoundationMsrs, msr, msr) : nullptr;
}

/// Whether foundation_of_io() needs to know what the address port of PCI configuration space holds.
constexpr bool reaches_config_data(u64 port, u64 width, u16 access) noexcept {
  return access == kWrite && port < kPortConfigData + 4u && port + width > kPortConfigData;
}

/// The row that refuses this access to [port, port + width); null: ask the policy. `config_address`: what port 0xCF8
/// holds at this moment, whoever wrote it. Configuration space that is not enabled there reaches no register.
constexpr Foundation const* foundation_of_io(u64 port, u64 width, u16 access, u32 config_address) noexcept {
  constexpr u32 kEnabled = 1u << 31;
  constexpr u32 kBus = 0xFFu << 16;
  if (access != kWrite || width == 0) {
    return nullptr;
  }
  if (auto const* const row = detail::row_of(kFoundationPorts, port, port + width - 1)) {
    return row;
  }
  if (!reaches_config_data(port, width, access) || (config_address & kEnabled) == 0 || (config_address & kBus) != 0) {
    return nullptr;
  }
  // Bytes of the register that the access covers; one that begins in front of the data ports covers its first bytes.
  u32 const base = config_address & 0xFFFC;
  u64 const from = port < kPortConfigData ? 0 : port - kPortConfigData;
  u64 const to = port + width - 1 - kPortConfigData;
  return detail::row_of(kFoundationPci, base + from, base + (to < 3 ? to : 3));
}

/// The row that refuses this instruction; null: ask the policy.
constexpr Foundation const* foundation_of_instruction(u16 index) noexcept {
  return detail::row_of(kFoundationInstructions, index, index);
}

}  // namespace mm::policy
