// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/platform.hpp"

/// RAM of the ROM's code; the same numbers as layout.inc.
namespace mm::rom {

inline constexpr u64 kApWakes = platform::kRomWork + 0x8080;  ///< u32[16] by APIC ID: times that an AP came to wait
inline constexpr u32 kApWakeSlots = 16;
inline constexpr u64 kIdt = platform::kRomIdt;

inline constexpr u16 kSelectorCode64 = 0x18;

}  // namespace mm::rom
