// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>

#include "core/base/types.hpp"

/// The one walk over 4-level page tables (Intel SDM vol. 3, 4.5), for all who read them: the supervisor's PageTables,
/// the simulator and its engine. `load(u64 physical) -> u64` fetches an entry; where there is no memory it gives 0, an
/// entry that is not present. Nothing is cached: an entry is fetched once, when the walk comes to it.
namespace mm::memory {

namespace pte {
inline constexpr u64 kPresent = 1ull << 0;
inline constexpr u64 kWritable = 1ull << 1;
inline constexpr u64 kUser = 1ull << 2;
inline constexpr u64 kAccessed = 1ull << 5;
inline constexpr u64 kDirty = 1ull << 6;
inline constexpr u64 kLarge = 1ull << 7;
inline constexpr u64 kNoExecute = 1ull << 63;
inline constexpr u64 kAddress = 0x000F'FFFF'FFFF'F000;
inline constexpr u64 kTable = kPresent | kWritable | kUser | kAccessed;  ///< rights of an entry that points to a table
inline constexpr u64 kEntries = 512;
inline constexpr unsigned kRootLevel = 3;  ///< level 0 has the 4 KiB pages

constexpr unsigned shift(unsigned level) noexcept { return 12 + 9 * level; }
constexpr u64 index(u64 address, unsigned level) noexcept { return address >> shift(level) & (kEntries - 1); }
constexpr bool is_large(u64 entry, unsigned level) noexcept {
  return (level == 1 || level == 2) && (entry & kLarge) != 0;
}
/// Rights of a way that goes on through `entry`: AND of writable and user, OR of no-execute.
constexpr u64 combine(u64 rights, u64 entry) noexcept {
  return (rights & entry & (kWritable | kUser)) | ((rights | entry) & kNoExecute);
}
inline constexpr u64 kFullRights = kWritable | kUser;  ///< in front of the root
}  // namespace pte

/// A present entry that a walk has come to.
struct TableEntry {
  u64 at = 0;  ///< physical address of the entry itself
  u64 value = 0;
  u64 linear = 0;  ///< first address that it maps
  u64 rights = 0;  ///< pte bits: effective ones, of the way from the root to here
  unsigned level = 0;

  constexpr bool is_leaf() const noexcept { return level == 0 || pte::is_large(value, level); }
  constexpr u64 bytes() const noexcept { return 1ull << pte::shift(level); }
  /// Of a leaf: the page. Else the table of the next level.
  constexpr u64 target() const noexcept { return value & pte::kAddress & (is_leaf() ? ~(bytes() - 1) : ~0ull); }
  constexpr bool writable() const noexcept { return (rights & pte::kWritable) != 0; }
  constexpr bool user() const noexcept { return (rights & pte::kUser) != 0; }
  constexpr bool executable() const noexcept { return (rights & pte::kNoExecute) == 0; }
};

namespace detail {
template <typename Load, typename F>
void visit_table(Load& load, u64 table, TableEntry const& way, unsigned level, F& f) noexcept {
  for (u64 i = 0; i < pte::kEntries; ++i) {
    u64 const at = table + i * sizeof(u64);
    u64 const value = load(at);
    if ((value & pte::kPresent) == 0) {
      continue;
    }
    TableEntry const entry{at, value, way.linear + (i << pte::shift(level)), pte::combine(way.rights, value), level};
    bool const descend = f(entry);
    if (descend && !entry.is_leaf()) {
      visit_table(load, entry.target(), entry, level - 1, f);
    }
  }
}
}  // namespace detail

/// Calls f(TableEntry const&) -> bool for each present entry below `root` in ascending order, a table's entry before
/// those of the table; false: nothing below this one. The upper canonical half comes last, with addresses that are not
/// sign-extended.
template <typename Load, typename F>
void visit(Load&& load, u64 root, F&& f) noexcept {
  detail::visit_table(load, root & pte::kAddress, TableEntry{.rights = pte::kFullRights}, pte::kRootLevel, f);
}

/// Whether no page of [first, end) is present; both page aligned. An absent entry of a table of tables answers for all
/// that it would map, and the entries of one last table are looked at one after the other: a region without tables
/// costs a few loads, whatever its size.
template <typename Load>
bool is_absent(Load&& load, u64 root, u64 first, u64 end) noexcept {
  for (u64 address = first; address < end;) {
    u64 table = root & pte::kAddress;
    unsigned level = pte::kRootLevel;
    u64 entry = load(table + pte::index(address, level) * sizeof(u64));
    while ((entry & pte::kPresent) != 0) {
      if (level == 0 || pte::is_large(entry, level)) {
        return false;
      }
      table = entry & pte::kAddress;
      --level;
      entry = load(table + pte::index(address, level) * sizeof(u64));
    }
    address = (address | ((1ull << pte::shift(level)) - 1)) + 1;
    // Behind an absent page its neighbours in the same table.
    for (; level == 0 && pte::index(address, 0) != 0 && address < end; address += kPageSize) {
      if ((load(table + pte::index(address, 0) * sizeof(u64)) & pte::kPresent) != 0) {
        return false;
      }
    }
  }
  return true;
}

/// The leaf that maps `address`; nothing when it is not present.
template <typename Load>
std::optional<TableEntry> find_leaf(Load&& load, u64 root, u64 address) noexcept {
  TableEntry entry{.rights = pte::kFullRights};
  u64 table = root & pte::kAddress;
  for (unsigned level = pte::kRootLevel;; --level) {
    entry.at = table + pte::index(address, level) * sizeof(u64);
    entry.value = load(entry.at);
    if ((entry.value & pte::kPresent) == 0) {
      return std::nullopt;
    }
    entry.rights = pte::combine(entry.rights, entry.value);
    entry.level = level;
    if (entry.is_leaf()) {
      entry.linear = address & ~(entry.bytes() - 1);
      return entry;
    }
    table = entry.value & pte::kAddress;
  }
}

}  // namespace mm::memory
