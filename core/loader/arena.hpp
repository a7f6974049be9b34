// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/loader/problems.hpp"
#include "core/memory/page_tables.hpp"

namespace mm::loader {

inline constexpr u64 kBelow = 1ull << 32;  ///< everything that the loader places or opens lies below

/// MMRAM while it is filled, from its start upwards, and the page tables that map it. Nothing is ever given back. It is
/// also the PageSource of the tables: their pages come from the same place.
template <hal::PhysMemory Mem>
class Arena {
 public:
  /// `mmram` is page aligned, not empty and below 4 GiB.
  Arena(Mem& memory, Range mmram) noexcept : memory_(memory), mmram_(mmram), next_(mmram.base), end_(mmram.end()) {}

  u64 next() const noexcept { return next_; }  ///< first free byte
  u64 end() const noexcept { return end_; }    ///< of what may be allocated
  u64 root() const noexcept { return root_; }  ///< level-4 table; 0 before make_page_tables()
  Range mmram() const noexcept { return mmram_; }

  /// Leaves `bytes` out. They are inside MMRAM.
  void skip(u64 bytes) noexcept { next_ += bytes; }
  /// Nothing is allocated from here on. Above next().
  void stop_at(u64 address) noexcept { end_ = address; }

  /// `pages` zeroed pages, aligned to the power of two `align`, not mapped. OutOfMmram.
  Result<u64> allocate(u64 pages, u64 align = kPageSize) noexcept {
    u64 const base = align_up(next_, align);
    if (base > end_ || pages > (end_ - base) >> kPageShift) {
      return fail(LoadProblem::OutOfMmram, Status::OutOfResources, pages);
    }
    next_ = base + (pages << kPageShift);
    memory_.zero(PhysAddr{base}, pages << kPageShift);
    return base;
  }
  Result<u64> allocate_mapped(u64 pages, memory::PageAttr attr) noexcept {
    MM_TRY_ASSIGN(u64 const base, allocate(pages));
    MM_TRY(map(Range{base, pages << kPageShift}, attr));
    return base;
  }

  /// OutOfMmram: no page for a table. PageTables: the range cannot be mapped.
  Result<void> map(Range range, memory::PageAttr attr) noexcept {
    if (auto const done = tables().set(range, attr, *this); !done) {
      bool const full = done.error() == Status::OutOfResources;
      return fail(full ? LoadProblem::OutOfMmram : LoadProblem::PageTables, done.error(), range.base);
    }
    return {};
  }
  bool any_mapped(Range pages) noexcept {
    for (u64 at = 0; at < pages.size; at += kPageSize) {
      if (tables().query(pages.base + at)) {
        return true;
      }
    }
    return false;
  }
  memory::PageTables<Mem> tables() noexcept { return {memory_, PhysAddr{root_}}; }

  /// An empty tree that has every table that MMRAM needs, so that mapping a page of it later takes no new one.
  Result<void> make_page_tables() noexcept {
    MM_TRY_ASSIGN(root_, allocate(1));
    MM_TRY(map(mmram_, memory::kSupervisorData));
    return map(mmram_, memory::PageAttr{});
  }
  /// Page-table pages become read-only to the supervisor. All of them are in MMRAM, whose tables exist.
  Result<void> protect_page_tables() noexcept {
    Result<void> done{};
    tables().for_each_table([this, &done](PhysAddr table) {
      if (done) {
        done = map(Range{raw(table), kPageSize}, memory::kSupervisorReadOnly);
      }
    });
    return done;
  }

  /// PageSource.
  Expected<PhysAddr> take_page() noexcept {
    auto const page = allocate(1);
    if (!page) {
      return std::unexpected(Status::OutOfResources);
    }
    return PhysAddr{*page};
  }

 private:
  Mem& memory_;
  Range mmram_;
  u64 next_;
  u64 end_;
  u64 root_ = 0;
};

}  // namespace mm::loader
