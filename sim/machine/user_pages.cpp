// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/user_pages.hpp"

#include <cstring>

#include "core/memory/page_tables.hpp"

namespace mm::sim {
namespace {

namespace pte = memory::pte;

constexpr u64 kCodeBasis = 0xCBF2'9CE4'8422'2325;  ///< of the hash over what ring 3 may execute
constexpr u64 kMix = 0x9E37'79B9'7F4A'7C15;

}  // namespace

u64 UserPages::table_entry(u64 at) const noexcept {
  u64 entry = 0;
  if (ram_.holds(at, sizeof entry)) {
    std::memcpy(&entry, ram_.at(at), sizeof entry);
  }
  return entry;
}

u64 UserPages::survey(u64 cr3, std::vector<Page>& out, Noted* note) const {
  u64 code = kCodeBasis;
  auto const note_table = [&](u64 table) {
    if (note != nullptr && ram_.holds(table, kPageSize)) {
      note->tables[table >> kPageShift] = 1;
    }
  };
  auto const note_leaf = [&](memory::TableEntry const& leaf) {
    if (!leaf.user() || !ram_.holds(leaf.target(), kPageSize)) {
      return;
    }
    if (leaf.executable()) {
      code = ((code ^ leaf.linear) * kMix ^ leaf.target()) * kMix;
      if (note != nullptr) {
        note->code[leaf.target() >> kPageShift] = 1;
      }
    }
    if (leaf.level == 0 && leaf.writable()) {
      out.push_back({leaf.at, leaf.target()});
    }
  };
  note_table(cr3 & pte::kAddress);
  memory::visit([this](u64 at) noexcept { return table_entry(at); }, cr3,
                [&](memory::TableEntry const& entry) {
                  entry.is_leaf() ? note_leaf(entry) : note_table(entry.target());
                  return true;
                });
  return code;
}

/// Ring 3 may have written to the page when its entry says so, or is not the one of the snapshot.
bool UserPages::maybe_written(Page const& page) const noexcept {
  u64 now = 0;
  u64 was = 0;
  std::memcpy(&now, ram_.at(page.entry), 8);
  std::memcpy(&was, ram_.saved(page.entry), 8);
  return (now & pte::kDirty) != 0 || ((now ^ was) & ~pte::kAccessed) != 0;
}

void UserPages::clear_dirty_bits() noexcept {
  for (Page const& p : pages_) {
    u64 entry = 0;
    std::memcpy(&entry, ram_.at(p.entry), 8);
    entry &= ~pte::kDirty;
    std::memcpy(ram_.at(p.entry), &entry, 8);
  }
}

void UserPages::snapshot(u64 cr3) {
  pages_.clear();
  noted_.tables.assign(ram_.size() >> kPageShift, 0);
  noted_.code.assign(ram_.size() >> kPageShift, 0);
  code_map_ = survey(cr3, pages_, &noted_);
  clear_dirty_bits();
  std::vector<u64> more;
  for (Page const& p : pages_) {
    more.push_back(p.page >> kPageShift);
    more.push_back(p.entry >> kPageShift);
  }
  ram_.snapshot(more);
}

/// How many pages it brought back.
u32 UserPages::restore_written() noexcept {
  u32 pages = 0;
  for (auto const* list : {&now_, &pages_}) {
    for (Page const& p : *list) {
      if (maybe_written(p)) {
        ram_.restore_page(p.page >> kPageShift);
        ++pages;
      }
    }
  }
  return pages;
}

UserPages::Changes UserPages::restore(u64 cr3) {
  Changes changes;
  for (u64 page : ram_.dirty_pages()) {
    changes.tables = changes.tables || noted_.tables[page] != 0;
    changes.code = changes.code || noted_.code[page] != 0;
  }
  now_.clear();
  if (changes.tables) {
    changes.code = survey(cr3, now_, nullptr) != code_map_ || changes.code;
  }
  changes.tables = restore_written() > kMostDirty || changes.tables;
  if (changes.tables) {
    clear_dirty_bits();
  }
  ram_.restore_dirty();
  return changes;
}

}  // namespace mm::sim
