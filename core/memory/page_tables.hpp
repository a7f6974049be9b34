// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <concepts>
#include <span>

#include "core/base/types.hpp"
#include "core/memory/page_walk.hpp"
#include "hal/roles/machine.hpp"

/// 4-level identity page tables (Intel SDM vol. 3, 4.5): what MM may reach, and how.
namespace mm::memory {

/// Access rights of one page. `present == false` makes the other members meaningless (and false).
struct PageAttr {
  bool present = false;
  bool writable = false;
  bool user = false;
  bool executable = false;
  friend constexpr bool operator==(PageAttr const&, PageAttr const&) = default;
};

inline constexpr PageAttr kSupervisorData{true, true, false, false};
inline constexpr PageAttr kSupervisorReadOnly{true, false, false, false};
inline constexpr PageAttr kSupervisorCode{true, false, false, true};
inline constexpr PageAttr kUserData{true, true, true, false};
inline constexpr PageAttr kUserReadOnly{true, false, true, false};
inline constexpr PageAttr kUserCode{true, false, true, true};

/// Where new page-table pages come from: each call gives one zeroed 4 KiB page below 4 GiB, or OutOfResources.
template <typename S>
concept PageSource = requires(S& s) {
  { s.take_page() } noexcept -> std::same_as<Expected<PhysAddr>>;
};

/// Identity mapping reaches the lower canonical half only.
inline constexpr u64 kAddressLimit = 1ull << 47;

/// The first address that a CPU with `physical_bits` (MAXPHYADDR) cannot map to itself: a higher bit in an entry is
/// reserved, and the access a page fault with RSVD set (Intel SDM vol. 3, 4.5).
constexpr u64 address_limit(u32 physical_bits) noexcept {
  return physical_bits < 47 ? 1ull << physical_bits : kAddressLimit;
}

/// The leaf entry that maps the page at `addr` to itself with the rights of `attr`; 0 when not present.
constexpr u64 leaf_entry(u64 addr, PageAttr attr) noexcept {
  if (!attr.present) {
    return 0;
  }
  return addr | pte::kPresent | pte::kAccessed | pte::kDirty | (attr.writable ? pte::kWritable : 0) |
         (attr.user ? pte::kUser : 0) | (attr.executable ? 0 : pte::kNoExecute);
}

/// A view of the tables below `root`. Holds no state of its own: two views of one root are the same tables.
template <hal::PhysMemory Mem>
class PageTables {
 public:
  constexpr PageTables(Mem& memory, PhysAddr root) noexcept : memory_(memory), root_(root) {}

  /// Physical address of the level-4 table.
  constexpr PhysAddr root() const noexcept { return root_; }

  /// Maps every page of `range` to itself with `attr`, or unmaps it. Tables that are missing come from `source`; a
  /// large page on the way is split. The caller opens a hal::WriteWindow when the tables are read-only, and flushes.
  /// InvalidParameter: not page aligned, empty, or beyond the lower canonical half. Errors of `source` end the walk
  /// with the pages before it done.
  template <PageSource Source>
  Expected<void> set(Range range, PageAttr attr, Source& source) noexcept {
    if (!valid(range) || (range.base & (kPageSize - 1)) != 0 || (range.size & (kPageSize - 1)) != 0) {
      return std::unexpected(Status::InvalidParameter);
    }
    u64 const end = range.base + range.size;
    for (u64 addr = range.base; addr < end;) {
      u64 const stop = smaller(end, (addr | kLastTableMask) + 1);
      MM_TRY_ASSIGN(u64 const table, last_table(addr, attr.present, source));
      if (table == 0) {
        addr = stop;
        continue;
      }
      fill(table, {addr, stop - addr}, attr);
      addr = stop;
    }
    return {};
  }

  /// Effective rights of the page that holds `addr`: AND of writable and user, OR of no-execute over the levels.
  /// NoMapping when absent, or beyond the lower canonical half.
  Expected<PageAttr> query(u64 addr) noexcept {
    if (addr >= kAddressLimit) {
      return std::unexpected(Status::NoMapping);
    }
    auto const leaf = find_leaf(loads(), raw(root_), addr);
    return leaf ? Expected<PageAttr>(attributes(*leaf)) : std::unexpected(Status::NoMapping);
  }

  /// Whether no page of `range`, page aligned, is present. False for a range beyond the lower canonical half.
  bool is_absent(Range range) noexcept {
    return range.size == 0 ||
           (valid(range) && memory::is_absent(loads(), raw(root_), range.base, range.base + range.size));
  }

  /// The one set of rights that every page touched by `range` has. NoMapping when one is absent or they differ;
  /// InvalidParameter when `range` is empty or wraps.
  Expected<PageAttr> query_uniform(Range range) noexcept {
    if (range.size == 0 || range.base > UINT64_MAX - (range.size - 1)) {
      return std::unexpected(Status::InvalidParameter);
    }
    if (!valid(range)) {
      return std::unexpected(Status::NoMapping);
    }
    u64 const last = align_down(range.base + (range.size - 1), kPageSize);
    u64 addr = align_down(range.base, kPageSize);
    MM_TRY_ASSIGN(PageAttr const first, query(addr));
    while (addr != last) {
      addr += kPageSize;
      MM_TRY_ASSIGN(PageAttr const other, query(addr));
      if (!(other == first)) {
        return std::unexpected(Status::NoMapping);
      }
    }
    return first;
  }

  /// Calls f(Range, PageAttr) for each present leaf of the lower canonical half in ascending order; neighbours are not
  /// merged.
  template <typename F>
  void for_each_leaf(F&& f) noexcept {
    visit(loads(), raw(root_), [&f](TableEntry const& entry) noexcept {
      bool const ours = entry.linear < kAddressLimit;
      if (ours && entry.is_leaf()) {
        f(Range{entry.linear, entry.bytes()}, attributes(entry));
      }
      return ours;
    });
  }

  /// Calls f(PhysAddr) for each page that holds a table, the root first.
  template <typename F>
  void for_each_table(F&& f) noexcept {
    f(root_);
    visit(loads(), raw(root_), [&f](TableEntry const& entry) noexcept {
      if (!entry.is_leaf()) {
        f(PhysAddr{entry.target()});
      }
      return entry.level > 1;  // the entries of a last table are no tables
    });
  }

 private:
  static constexpr u64 kLastTableMask = (pte::kEntries << kPageShift) - 1;  ///< what one level-1 table maps, minus 1

  static constexpr bool valid(Range r) noexcept {
    return r.size != 0 && r.base < kAddressLimit && r.size <= kAddressLimit - r.base;
  }
  static constexpr u64 smaller(u64 a, u64 b) noexcept { return a < b ? a : b; }
  static constexpr PageAttr attributes(TableEntry const& entry) noexcept {
    return {true, entry.writable(), entry.user(), entry.executable()};
  }

  auto loads() noexcept {
    return [&memory = memory_](u64 at) noexcept { return hal::read_object<u64>(memory, PhysAddr{at}); };
  }
  u64 load(u64 table, u64 i) noexcept { return hal::read_object<u64>(memory_, PhysAddr{table + i * 8}); }
  void store(u64 table, u64 i, u64 entry) noexcept { hal::write_object(memory_, PhysAddr{table + i * 8}, entry); }

  /// Writes the entries of `pages`, which are in the one last table `table`, some at a time. Entries are whole aligned
  /// words in every such copy, so another CPU that walks the table meets an old or a new one.
  void fill(u64 table, Range pages, PageAttr attr) noexcept {
    constexpr u64 kAtOnce = 64;
    std::array<u64, kAtOnce> entries;
    u64 const bits = leaf_entry(0, attr);
    u64 const step = attr.present ? kPageSize : 0;
    u64 entry = attr.present ? pages.base | bits : 0;
    u64 i = pte::index(pages.base, 0);
    for (u64 left = pages.size >> kPageShift; left != 0;) {
      u64 const count = smaller(left, kAtOnce);
      for (u64 n = 0; n < count; ++n, entry += step) {
        entries[n] = entry;
      }
      memory_.write(PhysAddr{table + i * 8}, std::as_bytes(std::span(entries).first(count)));
      i += count;
      left -= count;
    }
  }

  /// The level-1 table of `addr`; 0 when there is none and `create` is false.
  template <PageSource Source>
  Expected<u64> last_table(u64 addr, bool create, Source& source) noexcept {
    u64 table = raw(root_);
    for (unsigned level = pte::kRootLevel; level > 0; --level) {
      u64 const i = pte::index(addr, level);
      u64 entry = load(table, i);
      if ((entry & pte::kPresent) == 0) {
        if (!create) {
          return 0;
        }
        MM_TRY_ASSIGN(PhysAddr const page, source.take_page());
        entry = raw(page) | pte::kTable;
        store(table, i, entry);
      } else if (pte::is_large(entry, level)) {
        MM_TRY_ASSIGN(entry, split(entry, level, source));
        store(table, i, entry);
      }
      table = entry & pte::kAddress;
    }
    return table;
  }

  /// A table of 512 smaller leaves that map what the large page `entry` maps.
  template <PageSource Source>
  Expected<u64> split(u64 entry, unsigned level, Source& source) noexcept {
    MM_TRY_ASSIGN(PhysAddr const page, source.take_page());
    u64 const base = entry & pte::kAddress & ~((1ull << pte::shift(level)) - 1);
    u64 const flags = entry & (pte::kNoExecute | 0x7F);
    u64 const size_bit = level == 2 ? pte::kLarge : 0;
    for (u64 i = 0; i < pte::kEntries; ++i) {
      store(raw(page), i, (base + (i << pte::shift(level - 1))) | flags | size_bit);
    }
    return raw(page) | pte::kTable;
  }

  Mem& memory_;
  PhysAddr root_;
};

}  // namespace mm::memory
