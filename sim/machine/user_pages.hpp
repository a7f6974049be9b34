// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <vector>

#include "core/base/types.hpp"
#include "sim/machine/ram.hpp"

namespace mm::sim {

/// Which pages of RAM ring 3 may have written since a snapshot, by the dirty bits of the page tables: the engine writes
/// RAM without a mark. One object a machine; one thread.
class UserPages {
 public:
  explicit UserPages(Ram& ram) noexcept : ram_(ram) {}

  /// Takes the snapshot of RAM, with the pages that ring 3 can write under the tables at `cr3`; clears their dirty
  /// bits.
  void snapshot(u64 cr3);
  /// What a restore() found.
  struct Changes {
    bool tables = false;  ///< or their dirty bits: a TLB may be stale
    bool code = false;    ///< what ring 3 may execute, or where
  };
  /// Brings RAM back to the snapshot. Entries that are dirty stay so, and their pages are brought back each time, until
  /// there are more than kMostDirty: a translation in a TLB writes without telling, so clearing a dirty bit costs a
  /// flush.
  Changes restore(u64 cr3);
  static constexpr u32 kMostDirty = 24;
  /// An entry of a page table in RAM; where there is no memory, one that is not present.
  u64 table_entry(u64 at) const noexcept;

 private:
  struct Page {
    u64 entry = 0;  ///< address of the page-table entry
    u64 page = 0;
  };
  struct Noted {
    std::vector<u8> tables;  ///< by page number
    std::vector<u8> code;    ///< by page number: ring 3 may execute it
  };
  /// Finds the leaf entries of all pages that ring 3 can write; gives a hash of what it can execute, and where. With
  /// `note` also notes tables and code.
  u64 survey(u64 cr3, std::vector<Page>& out, Noted* note) const;
  bool maybe_written(Page const& page) const noexcept;
  u32 restore_written() noexcept;
  void clear_dirty_bits() noexcept;

  Ram& ram_;
  std::vector<Page> pages_;  ///< of the snapshot
  Noted noted_;
  u64 code_map_ = 0;
  std::vector<Page> now_;  ///< of restore(), kept for its memory
};

}  // namespace mm::sim
