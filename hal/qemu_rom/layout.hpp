// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/platform.hpp"

/// RAM of the ROM's code; the same numbers as layout.inc.
namespace mm::rom {

inline constexpr u64 kApReady = platform::kRomWork + 0x8004;  ///< u32: APs that are parked
inline constexpr u64 kApId = platform::kRomWork + 0x8040;     ///< u32[16]: APIC IDs in order of arrival
inline constexpr u64 kApWakes = platform::kRomWork + 0x8080;  ///< u32[16]: how often each AP came out of HLT
inline constexpr u64 kIdt = platform::kRomWork + 0x9000;

/// An AP starts at page 0xFF000, the alias of the ROM's last 4 KiB.
inline constexpr u32 kSipiVector = 0xFF;
inline constexpr u16 kSelectorCode64 = 0x18;

}  // namespace mm::rom
