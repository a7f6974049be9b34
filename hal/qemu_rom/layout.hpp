// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>

#include "core/abi/platform.hpp"

/// RAM of the ROM's code; the same numbers as layout.inc.
namespace mm::rom {

inline constexpr u64 kApWakes = platform::kRomWork + 0x8080;  ///< u32[16] by APIC ID: times that an AP came to wait
inline constexpr u32 kApWakeSlots = 16;
inline constexpr u64 kIdt = platform::kRomIdt;

inline constexpr u16 kSelectorCode64 = 0x18;

/// Physical memory, which the ROM maps one to one.
inline std::span<std::byte> memory(u64 at, u64 bytes) noexcept { return {reinterpret_cast<std::byte*>(at), bytes}; }

}  // namespace mm::rom
