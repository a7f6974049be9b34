// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>

#include "scenarios/drivers/variable/message.hpp"

namespace mm::variable {

/// How often each variable was read, written and deleted before ExitBootServices. The entries are in one piece of
/// memory, each followed by its name; a variable for which there is no room is not counted.
class Statistics {
 public:
  /// VARIABLE_INFO_ENTRY (edk2 Guid/VariableFormat.h). Its two pointers stay 0: no address in MM leaves it.
  struct Entry {
    u64 next = 0;
    Guid vendor;
    u64 name = 0;
    u32 attributes = 0;  ///< edk2 leaves it 0
    u32 reads = 0;
    u32 writes = 0;
    u32 deletes = 0;
    u32 cache_hits = 0;
    u8 is_volatile = 0;
    u8 padding[3] = {};
  };
  static_assert(sizeof(Entry) == 56);
  /// Which count goes up.
  using Count = u32 Entry::*;

  void open(std::span<u8> memory) noexcept { memory_ = memory; }

  void count(Name const& name, bool is_volatile, Count which) noexcept {
    u64 const at = find(name);
    if (at == end_ && !add(name, is_volatile)) {
      return;
    }
    Entry entry = entry_at(at);
    ++(entry.*which);
    __builtin_memcpy(memory_.data() + at, &entry, sizeof(entry));
  }

  /// Puts the entry after the one in the payload there, or the first one when its GUID is zero; `bytes` becomes the
  /// length of the answer, 0 when there is no entry any more. Unsupported: nothing was counted. BufferTooSmall: `bytes`
  /// is what is needed.
  Status next(Payload payload, u64& bytes) const noexcept {
    if (end_ == 0) {
      return Status::Unsupported;
    }
    if (payload.bytes < sizeof(Entry)) {
      bytes = sizeof(Entry);
      return Status::BufferTooSmall;
    }
    u64 const at = after(payload);
    bytes = at == end_ ? 0 : entry_bytes(at);
    if (bytes > payload.bytes) {
      return Status::BufferTooSmall;
    }
    __builtin_memcpy(payload.at, memory_.data() + at, bytes);
    return Status::Success;
  }

 private:
  Entry entry_at(u64 at) const noexcept { return driver::get<Entry>(memory_.data(), at); }
  u8 const* name_at(u64 at) const noexcept { return memory_.data() + at + sizeof(Entry); }
  u64 name_bytes(u64 at) const noexcept { return string_bytes(name_at(at), end_ - at - sizeof(Entry)); }
  u64 entry_bytes(u64 at) const noexcept { return sizeof(Entry) + name_bytes(at); }

  /// Offset of its entry, `end_` when there is none.
  u64 find(Name const& name) const noexcept {
    u64 at = 0;
    while (at < end_ && !(entry_at(at).vendor == name.vendor && name_bytes(at) == name.bytes &&
                          __builtin_memcmp(name_at(at), name.text, name.bytes) == 0)) {
      at += entry_bytes(at);
    }
    return at;
  }
  /// Offset of the entry to answer with.
  u64 after(Payload payload) const noexcept {
    Name name{driver::get<Guid>(payload.at, offsetof(Entry, vendor)), payload.at + sizeof(Entry), 0};
    if (name.vendor.is_zero()) {
      return 0;
    }
    name.bytes = string_bytes(name.text, payload.bytes - sizeof(Entry));
    u64 const at = find(name);
    return at == end_ ? end_ : at + entry_bytes(at);
  }
  bool add(Name const& name, bool is_volatile) noexcept {
    if (sizeof(Entry) + name.bytes > memory_.size() - end_) {
      return false;
    }
    Entry entry;
    entry.vendor = name.vendor;
    entry.is_volatile = is_volatile ? 1 : 0;
    __builtin_memcpy(memory_.data() + end_, &entry, sizeof(entry));
    __builtin_memcpy(memory_.data() + end_ + sizeof(entry), name.text, name.bytes);
    end_ += sizeof(Entry) + name.bytes;
    return true;
  }

  std::span<u8> memory_;
  u64 end_ = 0;
};

}  // namespace mm::variable
