// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "scenarios/drivers/variable/flash.hpp"

namespace mm::variable {

inline constexpr u32 kNonVolatile = 0x1;  ///< EFI_VARIABLE_* attributes (UEFI 2.10, 8.2)
inline constexpr u32 kBootServiceAccess = 0x2;
inline constexpr u32 kRuntimeAccess = 0x4;
inline constexpr u32 kAppendWrite = 0x40;

/// A variable's name: vendor GUID and CHAR16 string, terminator included. Points into the message.
struct Name {
  Guid vendor;
  u8 const* text = nullptr;
  u64 bytes = 0;
};

/// One record in the log; name and data follow, then padding to 4 bytes. `state` goes from 0xFF downwards.
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
};
static_assert(sizeof(Record) == 32);

/// Variables as a log: an update is appended, the old record is marked deleted, and when the log is full the live
/// records are written anew. A record counts from the moment its state says so, so a cut between two writes loses
/// nothing.
class Store {
 public:
  static constexpr u64 kNone = UINT64_MAX;

  /// `scratch` is as large as the flash; it holds the live records while the flash is erased.
  void open(Flash flash, std::span<u8> scratch) noexcept {
    flash_ = flash;
    scratch_ = scratch;
    flash_.erase();
    end_ = 0;
  }

  u64 size() const noexcept { return flash_.size(); }
  /// Bytes that a reclaim would leave free.
  u64 remaining() const noexcept {
    u64 used = 0;
    for (u64 at = next_live(0); at != kNone; at = next_live(after(at))) {
      used += after(at) - at;
    }
    return flash_.size() - used;
  }

  /// Offset of the live record, kNone when there is none.
  u64 find(Name const& name) const noexcept {
    for (u64 at = next_live(0); at != kNone; at = next_live(after(at))) {
      Record const r = record(at);
      if (r.vendor == name.vendor && r.name_bytes == name.bytes &&
          __builtin_memcmp(name_of(at), name.text, name.bytes) == 0) {
        return at;
      }
    }
    return kNone;
  }
  /// First live record at `from` or behind it, kNone at the end.
  u64 next_live(u64 from) const noexcept {
    for (u64 at = from; at < end_; at = after(at)) {
      u8 const state = record(at).state;
      if (state == Record::kAdded || state == (Record::kAdded & Record::kInDeletedTransition)) {
        return at;
      }
    }
    return kNone;
  }
  Record record(u64 at) const noexcept { return flash_.read<Record>(at); }
  u8 const* name_of(u64 at) const noexcept { return flash_.at(at + sizeof(Record)); }
  u8 const* data_of(u64 at) const noexcept { return flash_.at(at + sizeof(Record) + record(at).name_bytes); }
  u64 after(u64 at) const noexcept { return at + space_for(record(at).name_bytes, record(at).data_bytes); }

  /// Writes a variable anew, or for the first time. With `append` the data goes behind the old. OutOfResources: no room
  /// even after a reclaim, and the old value stays. DeviceError: the flash did not take it.
  Status put(Name const& name, u32 attributes, u8 const* data, u64 bytes, bool append) noexcept {
    u64 old = find(name);
    u64 const kept = append && old != kNone ? record(old).data_bytes : 0;
    u64 const space = space_for(name.bytes, kept + bytes);
    if (space > flash_.size() - end_) {
      reclaim();
      old = find(name);
      if (space > flash_.size() - end_) {
        return Status::OutOfResources;
      }
    }
    if (old != kNone && !mark(old, Record::kInDeletedTransition)) {
      return Status::DeviceError;
    }
    u64 const at = end_;
    Record r;
    r.state = Record::kHeaderValid;
    r.attributes = attributes;
    r.name_bytes = static_cast<u32>(name.bytes);
    r.data_bytes = static_cast<u32>(kept + bytes);
    r.vendor = name.vendor;
    u64 const body = at + sizeof(Record);
    bool written = flash_.write(at, &r, sizeof(r)) && flash_.write(body, name.text, name.bytes);
    end_ += space;
    if (kept != 0) {
      written = written && flash_.write(body + name.bytes, data_of(old), kept);
    }
    written = written && flash_.write(body + name.bytes + kept, data, bytes) && mark(at, Record::kAdded);
    if (!written) {
      return Status::DeviceError;
    }
    if (old != kNone) {
      mark(old, Record::kDeleted);
    }
    return Status::Success;
  }

  Status remove(u64 at) noexcept { return mark(at, Record::kDeleted) ? Status::Success : Status::DeviceError; }

  /// Writes the live records anew. Offsets change.
  void reclaim() noexcept {
    u64 used = 0;
    for (u64 at = next_live(0); at != kNone; at = next_live(after(at))) {
      u64 const bytes = after(at) - at;
      __builtin_memcpy(scratch_.data() + used, flash_.at(at), bytes);
      scratch_[used + offsetof(Record, state)] = Record::kAdded;
      used += bytes;
    }
    flash_.erase();
    flash_.write(0, scratch_.data(), used);
    end_ = used;
  }

 private:
  static u64 space_for(u64 name_bytes, u64 data_bytes) noexcept {
    return align_up(sizeof(Record) + name_bytes + data_bytes, 4);
  }
  /// Clears the bits of `state` that are clear in the new one.
  bool mark(u64 at, u8 state) noexcept {
    u8 const now = static_cast<u8>(record(at).state & state);
    return flash_.write(at + offsetof(Record, state), &now, 1);
  }

  Flash flash_;
  std::span<u8> scratch_;
  u64 end_ = 0;  ///< where the next record goes
};

}  // namespace mm::variable
