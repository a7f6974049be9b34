// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "scenarios/drivers/variable/flash.hpp"
#include "scenarios/drivers/variable/record.hpp"

namespace mm::variable {

/// Variables as a log in one of two banks of a flash: an update is appended, the old record is marked deleted, and when
/// the log is full the live records are copied to the other bank. Each step counts from the moment that one byte says
/// so, so when the power fails between any two bytes, `open` finds the state before or the state after.
class Store {
 public:
  static constexpr u64 kNone = UINT64_MAX;

  /// Takes the flash as it is: what an interrupted write left behind is completed or dropped, a flash without a store
  /// is formatted. DeviceError: the flash did not take it.
  Status open(Flash const& flash) noexcept {
    flash_ = flash;
    may_reclaim_ = true;
    if (!choose_bank()) {
      return Status::DeviceError;
    }
    end_ = first_invalid();
    finish_transitions();
    return erased_from(end_) || reclaim() ? Status::Success : Status::DeviceError;
  }
  /// At runtime the space of deleted records is not used again (nothing is erased under an operating system).
  void enter_runtime() noexcept { may_reclaim_ = false; }

  Flash& flash() noexcept { return flash_; }
  u64 bank_bytes() const noexcept { return flash_.size() / 2; }
  /// Bytes for records.
  u64 capacity() const noexcept { return bank_bytes() - sizeof(StoreHeader); }
  /// The bank in use, header first, up to the end of the log.
  std::span<u8 const> image() const noexcept { return {flash_.at(base_), end_}; }
  /// Bytes that are free, or would be after a reclaim if there may be one.
  u64 remaining() const noexcept {
    if (!may_reclaim_) {
      return bank_bytes() - end_;
    }
    u64 used = 0;
    for (u64 at = first(); at != kNone; at = next(at)) {
      used += record(at).bytes();
    }
    return capacity() - used;
  }

  /// Offset of the live record, kNone when there is none.
  u64 find(Name const& name) const noexcept { return find_from(first(), name); }
  /// The first live record, and the one after another; kNone at the end.
  u64 first() const noexcept { return next_live(sizeof(StoreHeader)); }
  u64 next(u64 at) const noexcept { return next_live(at + record(at).bytes()); }

  Record record(u64 at) const noexcept { return flash_.read<Record>(base_ + at); }
  u8 const* name_of(u64 at) const noexcept { return flash_.at(base_ + at + sizeof(Record)); }
  u8 const* data_of(u64 at) const noexcept { return name_of(at) + record(at).name_bytes; }

  /// Writes a variable anew, or for the first time. With `append` the data goes behind the old. OutOfResources: no room
  /// even after a reclaim, and the old value stays. DeviceError: the flash did not take it.
  Status put(Name const& name, u32 attributes, u8 const* data, u64 bytes, bool append) noexcept {
    u64 old = find(name);
    Record r;
    r.attributes = attributes;
    r.name_bytes = static_cast<u32>(name.bytes);
    r.data_bytes = static_cast<u32>(bytes + (append && old != kNone ? record(old).data_bytes : 0));
    r.vendor = name.vendor;
    if (r.bytes() > bank_bytes() - end_) {
      if (!may_reclaim_ || r.bytes() > remaining()) {
        return Status::OutOfResources;
      }
      if (!reclaim()) {
        return Status::DeviceError;
      }
      old = find(name);
    }
    return write(r, name, data, bytes, old) ? Status::Success : Status::DeviceError;
  }

  Status remove(u64 at) noexcept { return mark(at, Record::kDeleted) ? Status::Success : Status::DeviceError; }

  /// Copies the live records to the other bank. Offsets change. False: the flash did not take it, and the old bank
  /// still counts.
  bool reclaim() noexcept {
    u64 const to = bank_bytes() - base_;
    u64 used = sizeof(StoreHeader);
    if (!begin_bank(to)) {
      return false;
    }
    for (u64 at = first(); at != kNone; at = next(at)) {
      if (!copy_record(at, to + used)) {
        return false;
      }
      used += record(at).bytes();
    }
    if (!commit_bank(to)) {
      return false;
    }
    u64 const from = base_;
    base_ = to;
    end_ = used;
    return retire_bank(from);
  }

 private:
  bool valid_bank(u64 base) const noexcept {
    auto const header = flash_.read<StoreHeader>(base);
    return header.signature == StoreHeader::kSignature && header.size == bank_bytes() &&
           header.format == StoreHeader::kFormatted && header.state == StoreHeader::kHealthy;
  }
  /// Two valid banks: the power failed right after a reclaim, and both say the same.
  bool choose_bank() noexcept {
    u64 const second = bank_bytes();
    base_ = valid_bank(0) || !valid_bank(second) ? 0 : second;
    if (!valid_bank(base_)) {
      return begin_bank(0) && commit_bank(0);
    }
    return base_ == second || !valid_bank(second) || retire_bank(second);
  }
  bool begin_bank(u64 base) noexcept {
    StoreHeader header;
    header.signature = StoreHeader::kSignature;
    header.size = static_cast<u32>(bank_bytes());
    return flash_.erase(base, bank_bytes()) && flash_.write(base, &header, sizeof(header));
  }
  bool commit_bank(u64 base) noexcept {
    return flash_.write(base + offsetof(StoreHeader, format), &StoreHeader::kFormatted, 1);
  }
  bool retire_bank(u64 base) noexcept {
    return flash_.write(base + offsetof(StoreHeader, state), &StoreHeader::kRetired, 1);
  }
  bool copy_record(u64 at, u64 to) noexcept {
    Record r = record(at);
    r.state = Record::kAdded;
    return flash_.write(to, &r, sizeof(r)) &&
           flash_.write(to + sizeof(r), name_of(at), u64{r.name_bytes} + r.data_bytes);
  }

  /// Where the chain of complete headers ends.
  u64 first_invalid() const noexcept {
    u64 at = sizeof(StoreHeader);
    while (at + sizeof(Record) <= bank_bytes()) {
      Record const r = record(at);
      bool const complete = r.start == Record::kStart && (r.state & ~Record::kHeaderValid) == 0;
      if (!complete || r.bytes() > bank_bytes() - at) {
        break;
      }
      at += r.bytes();
    }
    return at;
  }
  bool erased_from(u64 at) const noexcept {
    while (at < bank_bytes() && *flash_.at(base_ + at) == 0xFF) {
      ++at;
    }
    return at == bank_bytes();
  }
  /// A record whose successor is complete is deleted.
  void finish_transitions() noexcept {
    for (u64 at = first(); at != kNone; at = next(at)) {
      Record const r = record(at);
      if (r.state != Record::kAdded && find_from(next(at), {r.vendor, name_of(at), r.name_bytes}) != kNone) {
        mark(at, Record::kDeleted);
      }
    }
  }

  u64 next_live(u64 from) const noexcept {
    for (u64 at = from; at < end_; at += record(at).bytes()) {
      if (record(at).live()) {
        return at;
      }
    }
    return kNone;
  }
  u64 find_from(u64 from, Name const& name) const noexcept {
    for (u64 at = from; at != kNone; at = next(at)) {
      Record const r = record(at);
      if (r.vendor == name.vendor && r.name_bytes == name.bytes &&
          __builtin_memcmp(name_of(at), name.text, name.bytes) == 0) {
        return at;
      }
    }
    return kNone;
  }

  /// Appends `r` with its name and data, behind what `old` has when r is longer than `bytes`.
  bool write(Record const& r, Name const& name, u8 const* data, u64 bytes, u64 old) noexcept {
    if (old != kNone && !mark(old, Record::kInDeletedTransition)) {
      return false;
    }
    u64 const at = end_;
    u64 const body = base_ + at + sizeof(Record);
    u64 const kept = r.data_bytes - bytes;
    if (!flash_.write(base_ + at, &r, sizeof(r)) || !mark(at, Record::kHeaderValid)) {
      return false;
    }
    end_ += r.bytes();
    bool const written = flash_.write(body, name.text, name.bytes) &&
                         (kept == 0 || flash_.write(body + name.bytes, data_of(old), kept)) &&
                         flash_.write(body + name.bytes + kept, data, bytes) && mark(at, Record::kAdded);
    return written && (old == kNone || mark(old, Record::kDeleted));
  }
  /// Clears the bits of `state` that are clear in the new one.
  bool mark(u64 at, u8 state) noexcept {
    u8 const now = static_cast<u8>(record(at).state & state);
    return flash_.write(base_ + at + offsetof(Record, state), &now, 1);
  }

  Flash flash_;
  u64 base_ = 0;  ///< of the bank in use; record offsets count from here
  u64 end_ = 0;   ///< where the next record goes
  bool may_reclaim_ = true;
};

}  // namespace mm::variable
