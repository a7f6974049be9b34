// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

/// Bits of control registers and RFLAGS (Intel SDM vol. 3, 2.3 and 2.5).
namespace mm::arch {

inline constexpr u64 kCr0WriteProtect = 1ull << 16;
inline constexpr u64 kCr4MachineCheck = 1ull << 6;
inline constexpr u64 kCr4Umip = 1ull << 11;
inline constexpr u64 kCr4La57 = 1ull << 12;
inline constexpr u64 kCr4Smep = 1ull << 20;
inline constexpr u64 kCr4Smap = 1ull << 21;
/// What the entry code of MM sets: DE PAE OSFXSR OSXMMEXCPT UMIP SMEP.
inline constexpr u64 kCr4OfEntry = 0x628 | kCr4Umip | kCr4Smep;

inline constexpr u64 kFlagTrap = 1ull << 8;
inline constexpr u64 kFlagVirtual8086 = 1ull << 17;

}  // namespace mm::arch
