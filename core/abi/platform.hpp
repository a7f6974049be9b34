// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

/// The memory map and ports of the test platform, the same on the simulator and on QEMU q35.
/// Low RAM ends at the top of TSEG: TSEG is [ram_bytes - tseg_bytes, ram_bytes).
namespace mm::platform {

inline constexpr u32 kMaxCpus = 8;
inline constexpr u64 kDefaultRamBytes = 256ull << 20;
inline constexpr u64 kDefaultTsegBytes = 16ull << 20;

/// Where the boot code puts the firmware volume of the scenario, and its limit.
inline constexpr u64 kFvBase = 0x0100'0000;
inline constexpr u64 kFvLimit = 0x0300'0000;
/// Communicate buffers and mailboxes (16 pages a buffer, PcdUserCommBufferPages).
inline constexpr u64 kCommPages = 16;
inline constexpr u64 kUserCommBuffer = 0x0400'0000;
inline constexpr u64 kSupervisorCommBuffer = 0x0401'0000;
inline constexpr u64 kUserCommStatus = 0x0402'0000;
inline constexpr u64 kSupervisorCommStatus = 0x0402'1000;
/// The HOB list that the normal world hands to the loader.
inline constexpr u64 kBootHobList = 0x0403'0000;
inline constexpr u64 kBootHobListLimit = 0x0006'0000;
/// HOBs of the scenario, which are appended to that list.
inline constexpr u64 kExtraHobs = 0x0409'0000;
inline constexpr u64 kExtraHobsLimit = 0x0005'0000;
/// The encoded steps of a scenario.
inline constexpr u64 kStepProgram = 0x0410'0000;
inline constexpr u64 kStepProgramLimit = 0x0040'0000;
/// Free for scenarios: unblocked regions, normal-world reads and writes.
inline constexpr u64 kScratch = 0x0500'0000;
inline constexpr u64 kScratchSize = 0x0100'0000;
/// Stacks, page tables and data of the ROM's normal-world code.
inline constexpr u64 kRomWork = 0x0600'0000;
/// The normal world's IDT (limit 0x1FF), and where its code stands when it raises an MMI, unless a step moves it.
inline constexpr u64 kRomIdt = kRomWork + 0x9000;
inline constexpr u64 kRomMmiCode = kRomWork + 0xA000;
/// In the ROM: the normal world's GDT (limit 0x1F), and the address behind the HLT in which the other CPUs wait.
inline constexpr u64 kRomGdt = 0xFFFF'FF00;
inline constexpr u64 kRomApWaits = 0xFFFF'FE03;

inline constexpr u16 kPortApmCnt = 0xB2;
inline constexpr u16 kPortApmSts = 0xB3;
inline constexpr u16 kPortDebugConsole = 0x402;
inline constexpr u16 kPortExit = 0xF4;
inline constexpr u16 kPmBase = 0x600;
inline constexpr u16 kPortPmTimer = 0x608;
inline constexpr u64 kPmTimerHz = 3'579'545;

}  // namespace mm::platform
