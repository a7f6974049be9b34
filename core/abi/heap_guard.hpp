// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/base/guid.hpp"
#include "core/base/names.hpp"
#include "core/base/types.hpp"

/// The heap guard: memory of drivers placed so that what they do beyond it shows. Off unless the boot says otherwise;
/// it only ever takes memory away from ring 3, so whoever makes the HOB list may turn it on.
namespace mm::abi {

/// GUID HOB that turns it on, in the normal world's list and so in that of MM: payload HeapGuardOptions.
inline constexpr Guid kHeapGuardHobGuid = "9C0C4E2B-6F0E-4D6E-9B53-3B1C1E4D7A11"_guid;
struct HeapGuardOptions {
  u32 message = 0;  ///< 1: handlers get a copy of the message that ends at a page that is not there
  u32 reserved = 0;
};

/// What memory of drivers holds that nobody has written, from the first byte of each page.
inline constexpr std::array<u8, 4> kUnwritten{0xE7, 0x1D, 0xC9, 0x5B};

/// What the heap guard saw (UserNote::DriverDefect).
enum class DriverDefect : u64 {
  Overrun = 1,         ///< bytes beside a pool block were written; the address of the block
  BesideBlock = 2,     ///< a fault beside a block; the address
  FreedMemory = 3,     ///< a fault in memory that was given back; the address
  InvalidFree = 4,     ///< what was to be freed is not allocated; the address
  DoubleFree = 5,      ///< it was freed before; the address
  UnwrittenReply = 6,  ///< the reply has bytes that nobody wrote; their offset in it
  ReplySize = 7,       ///< a reply longer than its message, which is all the room there is; its size
  BeyondMessage = 8,   ///< a fault behind the message; the address
};
inline constexpr std::array kDriverDefectNames{
    Named{DriverDefect::Overrun, "Overrun"},         Named{DriverDefect::BesideBlock, "BesideBlock"},
    Named{DriverDefect::FreedMemory, "FreedMemory"}, Named{DriverDefect::InvalidFree, "InvalidFree"},
    Named{DriverDefect::DoubleFree, "DoubleFree"},   Named{DriverDefect::UnwrittenReply, "UnwrittenReply"},
    Named{DriverDefect::ReplySize, "ReplySize"},     Named{DriverDefect::BeyondMessage, "BeyondMessage"},
};
/// The name of a defect; null for a value that is none.
constexpr char const* name_of(DriverDefect defect) noexcept { return name_in(kDriverDefectNames, defect); }

}  // namespace mm::abi
