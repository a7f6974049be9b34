// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/memory/page_tables.hpp"
#include "core/policy/policy.hpp"

/// The memory policy: what MM can reach outside MMRAM, taken from the live page tables (core/policy/FORMAT.md 4).
namespace mm::policy {

constexpr u32 mem_attributes(memory::PageAttr attr) noexcept {
  return u32{kRead} | (attr.writable ? u32{kWrite} : 0) | (attr.executable ? u32{kExecute} : 0);
}

/// Calls sink(MemDescriptor const&) for each run of present pages outside `mmram` with equal rights, ascending.
template <hal::PhysMemory Mem, typename Sink>
void for_each_region(memory::PageTables<Mem> tables, Range mmram, Sink&& sink) noexcept {
  MemDescriptor current;
  tables.for_each_leaf([&](Range page, memory::PageAttr attr) noexcept {
    if (mmram.contains(page)) {
      return;
    }
    u32 const attributes = mem_attributes(attr);
    if (current.size != 0 && current.base + current.size == page.base && current.attributes == attributes) {
      current.size += page.size;
      return;
    }
    if (current.size != 0) {
      sink(current);
    }
    current = {page.base, page.size, attributes, 0};
  });
  if (current.size != 0) {
    sink(current);
  }
}

/// The memory policy as it was when the supervisor locked itself; every later fetch must find the same.
class MemorySnapshot {
 public:
  static constexpr u32 kCapacity = 170;  ///< one page of descriptors

  constexpr bool taken() const noexcept { return taken_; }
  constexpr u32 count() const noexcept { return count_; }
  constexpr std::span<MemDescriptor const> descriptors() const noexcept { return {entries_.data(), count_}; }

  /// OutOfResources when the tables hold more regions than fit; nothing is taken then.
  template <hal::PhysMemory Mem>
  Expected<void> take(memory::PageTables<Mem> tables, Range mmram) noexcept {
    bool fits = true;
    count_ = 0;
    for_each_region(tables, mmram, [&](MemDescriptor const& d) noexcept {
      if (count_ == kCapacity) {
        fits = false;
      } else {
        entries_[count_++] = d;
      }
    });
    if (!fits) {
      count_ = 0;
      return std::unexpected(Status::OutOfResources);
    }
    taken_ = true;
    return {};
  }

  /// SecurityViolation when the live tables differ from the snapshot.
  template <hal::PhysMemory Mem>
  Expected<void> compare(memory::PageTables<Mem> tables, Range mmram) const noexcept {
    u32 index = 0;
    bool same = true;
    for_each_region(tables, mmram, [&](MemDescriptor const& d) noexcept {
      same = same && index < count_ && entries_[index] == d;
      ++index;
    });
    if (!same || index != count_) {
      return std::unexpected(Status::SecurityViolation);
    }
    return {};
  }

 private:
  std::array<MemDescriptor, kCapacity> entries_{};
  u32 count_ = 0;
  bool taken_ = false;
};

}  // namespace mm::policy
