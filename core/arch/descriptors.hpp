// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/base/types.hpp"

/// The GDT page of each CPU in MM: the descriptor table, the TSS behind it and the operand of LGDT, and the selectors
/// that everybody names (core/abi/ABI.md 8; Intel SDM vol. 3, 3.4.5 and 8.7). The loader writes it; the first MMI fills
/// in what depends on the supervisor's image: target of the call gate, RSP0, the stacks of exceptions.
namespace mm::arch {

inline constexpr u64 kRing3 = 3;  ///< requested privilege level of a selector

inline constexpr u64 kSupervisorCodeSelector = 0x38;
inline constexpr u64 kSupervisorDataSelector = 0x40;
inline constexpr u64 kUserDataSelector = 0x50 | kRing3;
inline constexpr u64 kUserCodeSelector = 0x58 | kRing3;
inline constexpr u64 kGateSelector = 0x60;  ///< call gate from ring 3 to ring 0; two slots
inline constexpr u64 kTssSelector = 0x70;   ///< two slots
/// The far pointer by which ring 3 returns: the call gate, whose offset is not used.
inline constexpr u64 kUserReturnGate = (kGateSelector | kRing3) << 32;
/// IA32_STAR: SYSRET goes to 0x4B + 16 and 0x4B + 8, SYSCALL to 0x38 and 0x40.
inline constexpr u64 kStarSelectors = 0x004B'0038ull << 32;
static_assert((kStarSelectors >> 32 & 0xFFFF) == kSupervisorCodeSelector);
static_assert((kStarSelectors >> 48) + 16 == kUserCodeSelector && (kStarSelectors >> 48) + 8 == kUserDataSelector);

/// The table without the base of the TSS descriptor and without the target of the call gate.
inline constexpr std::array<u64, 16> kGdt{
    0,
    0x00CF'9B00'0000'FFFF,  // 0x08 code 32
    0x00CF'9B00'0000'FFFF,  // 0x10 protected-mode code 32
    0x00CF'9300'0000'FFFF,  // 0x18 protected-mode stack 32
    0x00CF'9300'0000'FFFF,  // 0x20 data 32
    0x008F'9B00'0000'FFFF,  // 0x28 code 16
    0x008F'9300'0000'FFFF,  // 0x30 data 16
    0x00AF'9B00'0000'FFFF,  // 0x38 code 64, ring 0
    0x00CF'9300'0000'FFFF,  // 0x40 data, ring 0
    0x00AF'7B00'0000'FFFF,  // 0x48 ring-3 compatibility code, not present
    0x00CF'F300'0000'FFFF,  // 0x50 data, ring 3
    0x00AF'FB00'0000'FFFF,  // 0x58 code 64, ring 3
    0x0000'EC00'0038'0000,  // 0x60 call gate to 0x38
    0,
    0x0000'8900'0000'0067,  // 0x70 TSS: limit 0x67, G = 0
    0,
};
inline constexpr u64 kGdtLimit = sizeof(kGdt) - 1;

/// The descriptor that `selector` names.
constexpr u64 gdt_entry(u64 selector) noexcept { return kGdt[selector / sizeof(u64)]; }

/// The low half of the TSS descriptor for a TSS at `base`; the high half is `base >> 32`.
constexpr u64 tss_descriptor_low(u64 base) noexcept {
  return gdt_entry(kTssSelector) | (base & 0xFF'FFFF) << 16 | (base >> 24 & 0xFF) << 56;
}

// From the start of the page
inline constexpr u64 kTssOffset = 0x80;
inline constexpr u64 kGdtPseudoOffset = 0xF0;  ///< u16 limit, u64 base
static_assert(kTssOffset == sizeof(kGdt));

// From the start of the TSS
inline constexpr u64 kTssRsp0 = 4;
inline constexpr u64 kTssIst1 = 36;  ///< IST2 to IST7 follow, 8 bytes each
inline constexpr u64 kTssIoMap = 102;
inline constexpr u16 kTssBytes = 104;
static_assert((gdt_entry(kTssSelector) & 0xFFFF) == kTssBytes - 1);

}  // namespace mm::arch
