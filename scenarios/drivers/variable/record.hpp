// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/guid.hpp"

/// What a variable store is made of, as in edk2's Guid/VariableFormat.h (without authentication), so that a runtime
/// driver which maps a copy of the store can walk it.
namespace mm::variable {

/// A variable's name: vendor GUID and CHAR16 string, terminator included. Points into the message.
struct Name {
  Guid vendor;
  u8 const* text = nullptr;
  u64 bytes = 0;
};

/// VARIABLE_STORE_HEADER, at the start of a bank. `format` is written last: a bank without it is not there.
struct StoreHeader {
  static constexpr Guid kSignature = "DDCF3616-3275-4164-98B6-FE85707FFE7D"_guid;  ///< gEfiVariableGuid
  static constexpr u8 kFormatted = 0x5A;
  static constexpr u8 kHealthy = 0xFE;
  static constexpr u8 kRetired = 0xFC;  ///< ours: the other bank has taken over
  Guid signature;
  u32 size = 0;  ///< header included
  u8 format = 0xFF;
  u8 state = kHealthy;
  u16 reserved = 0;
  u32 reserved1 = 0;
};
static_assert(sizeof(StoreHeader) == 28);

/// VARIABLE_HEADER: one record in the log; name and data follow, then padding to 4 bytes. `state` goes from 0xFF
/// downwards.
struct Record {
  static constexpr u16 kStart = 0x55AA;
  static constexpr u8 kHeaderValid = 0x7F;          ///< header written, name and data not yet
  static constexpr u8 kAdded = 0x3F;                ///< complete
  static constexpr u8 kInDeletedTransition = 0xFE;  ///< its successor is being written
  static constexpr u8 kDeleted = 0xFD;
  u16 start = kStart;
  u8 state = 0xFF;
  u8 reserved = 0xFF;
  u32 attributes = 0;
  u32 name_bytes = 0;
  u32 data_bytes = 0;
  Guid vendor;

  /// Name and data count.
  bool live() const noexcept { return state == kAdded || state == (kAdded & kInDeletedTransition); }
  /// From this record to the next one.
  u64 bytes() const noexcept { return align_up(sizeof(Record) + u64{name_bytes} + data_bytes, 4); }
};
static_assert(sizeof(Record) == 32);

}  // namespace mm::variable
