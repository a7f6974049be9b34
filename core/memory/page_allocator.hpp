// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <bit>

#include "core/abi/hob.hpp"
#include "core/memory/page_tables.hpp"
#include "core/memory/table_edit.hpp"
#include "hal/roles/machine.hpp"

namespace mm::memory {

/// Who owns an allocated page: it decides the U/S bit of the mapping.
enum class Owner : u8 { Supervisor = 0, User = 1 };

/// First-fit allocator of the free MMRAM pages. Free pages are not present in the page tables; an allocated page is
/// mapped read/write, no-execute. Its two bitmaps (allocated, user-owned) and the pool of page-table pages live in
/// MMRAM. The CPU is passed to each call, so that the object can be copied; calls must not run on two CPUs at once.
class PageAllocator {
 public:
  /// Pages set aside for page tables; never freed.
  static constexpr u64 kTablePages = 64;

  /// Whether adopt() has succeeded.
  constexpr bool ready() const noexcept { return ready_; }
  /// All of MMRAM, allocated or not.
  constexpr Range span() const noexcept { return span_; }

  /// Takes over the MMRAM described by `count` abi::MmramDescriptor at `descriptors`.
  /// CompromisedData: no descriptor, or they are not page aligned, ascending and contiguous, or not below 4 GiB.
  /// OutOfResources: no run of free pages for bitmaps and pool.
  template <hal::Cpu C>
  Expected<void> adopt(C& cpu, PhysAddr root, PhysAddr descriptors, u64 count) noexcept;

  /// From now on pages of ring 3 have a free page on either side, and freed ones are not given out again while there
  /// are others: what ring 3 does beyond its memory faults.
  constexpr void spread() noexcept { spread_ = true; }

  /// Maps and zeroes `pages` contiguous pages. NotReady, InvalidParameter (0 pages), OutOfResources.
  template <hal::Cpu C>
  Expected<PhysAddr> allocate(C& cpu, PhysAddr root, u64 pages, Owner owner) noexcept;

  /// Zeroes, unmaps and frees. NotReady. InvalidParameter: 0 pages, unaligned, outside MMRAM, or first page not
  /// allocated here. SecurityViolation: the page count overflows, first page is the supervisor's, or a later one is not
  /// `owner`'s.
  template <hal::Cpu C>
  Expected<void> free(C& cpu, PhysAddr root, u64 base, u64 pages, Owner owner) noexcept;

  /// Changes the rights of mapped pages and flushes the TLB of this CPU. Errors of PageTables::set.
  template <hal::Cpu C>
  Expected<void> protect(C& cpu, PhysAddr root, Range range, PageAttr attr) noexcept {
    TableSource<C> source{*this, cpu};
    return TableEdit<C>(cpu, root).set(range, attr, source);
  }

 private:
  static constexpr u64 kWordBits = 64;
  static constexpr u64 kNone = UINT64_MAX;

  /// PageSource over the pool: its pages are read-only supervisor pages, so the caller's write window must be open.
  template <hal::Cpu C>
  struct TableSource {
    PageAllocator& owner;
    C& cpu;
    Expected<PhysAddr> take_page() noexcept {
      if (owner.pool_next_ == owner.pool_end_) {
        return std::unexpected(Status::OutOfResources);
      }
      PhysAddr const page{owner.pool_next_};
      owner.pool_next_ += kPageSize;
      cpu.zero(page, kPageSize);
      return page;
    }
  };

  template <hal::Cpu C>
  u64 word(C& cpu, u64 map, u64 index) noexcept {
    return hal::read_object<u64>(cpu, PhysAddr{map + index * 8});
  }
  template <hal::Cpu C>
  bool bit(C& cpu, u64 map, u64 page) noexcept {
    return (word(cpu, map, page / kWordBits) >> (page % kWordBits) & 1) != 0;
  }
  template <hal::Cpu C>
  void mark(C& cpu, u64 map, u64 first, u64 count, bool value) noexcept {
    for (u64 page = first; page < first + count;) {
      u64 const low = page % kWordBits;
      u64 const n = first + count - page < kWordBits - low ? first + count - page : kWordBits - low;
      u64 const mask = (n == kWordBits ? UINT64_MAX : (1ull << n) - 1) << low;
      u64 const old = word(cpu, map, page / kWordBits);
      hal::write_object(cpu, PhysAddr{map + page / kWordBits * 8}, value ? old | mask : old & ~mask);
      page += n;
    }
  }
  /// First run of `pages` clear bits, from `start`; kNone when there is none.
  template <hal::Cpu C>
  u64 find_run(C& cpu, u64 pages, u64 start) noexcept {
    u64 const total = span_.size >> kPageShift;
    u64 run = 0;
    for (u64 page = start; page < total;) {
      u64 const rest = word(cpu, allocated_, page / kWordBits) >> (page % kWordBits);
      if ((rest & 1) != 0) {
        run = 0;
        page += static_cast<u64>(std::countr_one(rest));
        continue;
      }
      u64 const left = kWordBits - page % kWordBits;
      u64 const clear = rest == 0 ? left : static_cast<u64>(std::countr_zero(rest));
      run += clear;
      page += clear;
      if (run >= pages) {
        u64 const first = page - run;
        return first + pages <= total ? first : kNone;
      }
    }
    return kNone;
  }

  /// The same with a clear bit on either side, behind what was given out last; where there is no room for that, before
  /// it, and at last without.
  template <hal::Cpu C>
  u64 find_spread(C& cpu, u64 pages) noexcept {
    for (u64 const start : {rover_ > hint_ ? rover_ : hint_, hint_}) {
      if (u64 const first = find_run(cpu, pages + 2, start); first != kNone) {
        rover_ = first + 1 + pages;
        return first + 1;
      }
    }
    return find_run(cpu, pages, hint_);
  }

  template <hal::Cpu C>
  Expected<void> check_regions(C& cpu, PhysAddr descriptors, u64 count) noexcept;
  template <hal::Cpu C>
  Expected<void> bootstrap(C& cpu, PhysAddr root, Range region, u64 map_bytes) noexcept;

  Range span_;
  u64 allocated_ = 0;  ///< address of the bitmap; a set bit is a page that is not free
  u64 user_ = 0;       ///< address of the bitmap of user-owned pages
  u64 ours_ = 0;       ///< address of the bitmap of pages that allocate() gave out
  u64 pool_next_ = 0;
  u64 pool_end_ = 0;
  u64 hint_ = 0;   ///< no free page below this one
  u64 rover_ = 0;  ///< spread: behind the pages that were given out last
  bool ready_ = false;
  bool spread_ = false;
};

template <hal::Cpu C>
Expected<void> PageAllocator::check_regions(C& cpu, PhysAddr descriptors, u64 count) noexcept {
  if (count == 0 || count > 2048) {
    return std::unexpected(Status::CompromisedData);
  }
  for (u64 i = 0; i < count; ++i) {
    auto const d = hal::read_object<abi::MmramDescriptor>(cpu, descriptors + i * sizeof(abi::MmramDescriptor));
    u64 const expected = i == 0 ? d.physical_start : span_.end();
    if (d.physical_size == 0 || (d.physical_start | d.physical_size) % kPageSize != 0 || d.physical_start != expected ||
        d.physical_start >= 1ull << 32 || d.physical_size > (1ull << 32) - d.physical_start) {
      return std::unexpected(Status::CompromisedData);
    }
    span_ = i == 0 ? Range{d.physical_start, d.physical_size} : Range{span_.base, span_.size + d.physical_size};
  }
  return {};
}

/// Puts bitmaps and pool into `region`, whose last-level tables must already exist.
template <hal::Cpu C>
Expected<void> PageAllocator::bootstrap(C& cpu, PhysAddr root, Range region, u64 map_bytes) noexcept {
  struct NoPages {
    Expected<PhysAddr> take_page() noexcept { return std::unexpected(Status::OutOfResources); }
  } none;
  u64 const maps = 3 * map_bytes;
  u64 const pool = region.base + maps;
  {
    TableEdit<C> edit(cpu, root);
    MM_TRY(edit.set({region.base, maps}, kSupervisorData, none));
    MM_TRY(edit.set({pool, kTablePages * kPageSize}, kSupervisorReadOnly, none));
  }
  cpu.zero(PhysAddr{region.base}, maps);
  allocated_ = region.base;
  user_ = region.base + map_bytes;
  ours_ = region.base + 2 * map_bytes;
  pool_next_ = pool;
  pool_end_ = pool + kTablePages * kPageSize;
  return {};
}

template <hal::Cpu C>
Expected<void> PageAllocator::adopt(C& cpu, PhysAddr root, PhysAddr descriptors, u64 count) noexcept {
  if (ready_) {
    return std::unexpected(Status::AlreadyStarted);
  }
  MM_TRY(check_regions(cpu, descriptors, count));
  u64 const map_bytes = align_up((span_.size >> kPageShift) / 8 + 8, kPageSize);
  u64 const needed = 3 * map_bytes + kTablePages * kPageSize;
  for (u64 i = 0; i < count && allocated_ == 0; ++i) {
    auto const d = hal::read_object<abi::MmramDescriptor>(cpu, descriptors + i * sizeof(abi::MmramDescriptor));
    if ((d.region_state & abi::kMmramAllocated) == 0 && d.physical_size >= needed) {
      // A region without tables of its own is skipped; pages mapped in vain stay unreachable to ring 3.
      static_cast<void>(bootstrap(cpu, root, {d.physical_start, needed}, map_bytes));
    }
  }
  if (allocated_ == 0) {
    return std::unexpected(Status::OutOfResources);
  }
  mark(cpu, allocated_, 0, map_bytes * 8, true);
  for (u64 i = 0; i < count; ++i) {
    auto const d = hal::read_object<abi::MmramDescriptor>(cpu, descriptors + i * sizeof(abi::MmramDescriptor));
    if ((d.region_state & abi::kMmramAllocated) == 0) {
      mark(cpu, allocated_, (d.physical_start - span_.base) >> kPageShift, d.physical_size >> kPageShift, false);
    }
  }
  mark(cpu, allocated_, (allocated_ - span_.base) >> kPageShift, needed >> kPageShift, true);
  ready_ = true;
  return {};
}

template <hal::Cpu C>
Expected<PhysAddr> PageAllocator::allocate(C& cpu, PhysAddr root, u64 pages, Owner owner) noexcept {
  if (!ready_) {
    return std::unexpected(Status::NotReady);
  }
  if (pages == 0) {
    return std::unexpected(Status::InvalidParameter);
  }
  if (pages > span_.size >> kPageShift) {
    return std::unexpected(Status::OutOfResources);
  }
  bool const spread = spread_ && owner == Owner::User;
  u64 const first = spread ? find_spread(cpu, pages) : find_run(cpu, pages, hint_);
  if (first == kNone) {
    return std::unexpected(Status::OutOfResources);
  }
  Range const range{span_.base + (first << kPageShift), pages << kPageShift};
  if (auto const done = protect(cpu, root, range, kSupervisorData); !done) {
    static_cast<void>(protect(cpu, root, range, PageAttr{}));
    return std::unexpected(done.error());
  }
  cpu.zero(PhysAddr{range.base}, range.size);
  if (owner == Owner::User) {
    MM_TRY(protect(cpu, root, range, kUserData));
  }
  mark(cpu, allocated_, first, pages, true);
  mark(cpu, ours_, first, pages, true);
  mark(cpu, user_, first, pages, owner == Owner::User);
  if (first == hint_) {
    hint_ = first + pages;
  }
  return PhysAddr{range.base};
}

template <hal::Cpu C>
Expected<void> PageAllocator::free(C& cpu, PhysAddr root, u64 base, u64 pages, Owner owner) noexcept {
  if (!ready_) {
    return std::unexpected(Status::NotReady);
  }
  if (pages > UINT64_MAX >> kPageShift) {
    return std::unexpected(Status::SecurityViolation);
  }
  Range const range{base, pages << kPageShift};
  if (pages == 0 || base % kPageSize != 0 || !span_.contains({base, kPageSize})) {
    return std::unexpected(Status::InvalidParameter);
  }
  if (!span_.contains(range)) {
    return std::unexpected(Status::SecurityViolation);
  }
  u64 const first = (base - span_.base) >> kPageShift;
  if (!bit(cpu, allocated_, first)) {
    return std::unexpected(Status::InvalidParameter);
  }
  for (u64 page = first; page < first + pages; ++page) {
    if (!bit(cpu, ours_, page) || bit(cpu, user_, page) != (owner == Owner::User)) {
      return std::unexpected(Status::SecurityViolation);
    }
  }
  MM_TRY(protect(cpu, root, range, kSupervisorData));
  cpu.zero(PhysAddr{base}, range.size);
  MM_TRY(protect(cpu, root, range, PageAttr{}));
  mark(cpu, allocated_, first, pages, false);
  mark(cpu, ours_, first, pages, false);
  mark(cpu, user_, first, pages, false);
  if (first < hint_) {
    hint_ = first;
  }
  return {};
}

}  // namespace mm::memory
