// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <optional>

#include "core/abi/comm.hpp"
#include "core/memory/page_allocator.hpp"
#include "core/memory/page_tables.hpp"
#include "core/memory/unblock_tracker.hpp"
#include "core/supervisor/here.hpp"
#include "core/supervisor/preconditions.hpp"
#include "core/supervisor/user_range.hpp"

namespace mm::supervisor {

/// What MM may reach, and whose it is: the page tables with the allocator of MMRAM and the regions outside of it that
/// were opened (core/ARCHITECTURE.md 8). Every change of the tables goes through this part, on one CPU at a time.
template <hal::Machine M>
class AddressSpace {
 public:
  using Cpu = typename M::Cpu;
  using Tables = memory::PageTables<Cpu>;

  /// Starts with the tables that the CPU uses.
  void adopt_tables(Cpu& cpu) noexcept {
    root_ = root_of(cpu);
    address_limit_ = memory::address_limit(cpu.physical_address_bits());
  }
  /// Takes over MMRAM. Errors of PageAllocator::adopt().
  Expected<void> adopt_mmram(Cpu& cpu, PhysAddr descriptors, u64 count) noexcept {
    return allocator_.adopt(cpu, PhysAddr{root_}, descriptors, count);
  }
  static u64 root_of(Cpu& cpu) noexcept { return cpu.read_cr3() & memory::pte::kAddress; }

  u64 root() const noexcept { return root_; }
  u64 address_limit() const noexcept { return address_limit_; }
  Range mmram() const noexcept { return allocator_.span(); }
  Tables tables(Cpu& cpu) const noexcept { return Tables(cpu, PhysAddr{root_}); }

  // --- pages of MMRAM
  /// Pages of ring 3 have free ones beside them from now on (PageAllocator::spread()).
  void spread_user_pages() noexcept { allocator_.spread(); }
  /// Errors of PageAllocator::allocate().
  Expected<PhysAddr> allocate(Cpu& cpu, u64 pages, memory::Owner owner) noexcept {
    return allocator_.allocate(cpu, PhysAddr{root_}, pages, owner);
  }
  /// Pages of ring 3 that it may not give back. Errors of allocate().
  Expected<PhysAddr> lend(Cpu& cpu, u64 pages) noexcept;
  /// Errors of PageAllocator::protect().
  Expected<void> protect(Cpu& cpu, Range range, memory::PageAttr attr) noexcept {
    return allocator_.protect(cpu, PhysAddr{root_}, range, attr);
  }
  /// FREE_PAGE. SecurityViolation: pages that were lent (while the check is in force), or an error of
  /// PageAllocator::free().
  Expected<void> free_user(Here<M> const& here, Range range) noexcept;

  // --- addresses of ring 3
  /// The range, when every byte of it is on a present page of ring 3 and all have the same rights, with Access::Write
  /// writable ones. Empty, wrapping and null-page ranges are nobody's.
  std::optional<UserRange> claim(Here<M> const& here, UserAddr at, u64 bytes, Access access) const noexcept;
  /// Whether the whole range is in one region that was opened, and ring 3 owns every page of it.
  bool is_open_to_user(Here<M> const& here, UserAddr at, u64 bytes) const noexcept;

  // --- regions outside MMRAM
  /// Whether `range` may be opened: no page of it is mapped or tracked (SecurityViolation), none beyond the CPU's
  /// addresses (InvalidParameter), not more than the table pages could ever map (OutOfResources).
  Expected<void> check_closed(Cpu& cpu, Range range) const noexcept;
  /// Maps pages that check_closed() has found absent: all of them or none.
  Expected<void> map_closed(Cpu& cpu, Range range, memory::PageAttr attr) noexcept;
  /// Unmaps pages that are mapped: their tables exist, so that it cannot fail.
  void close(Cpu& cpu, Range range) noexcept { static_cast<void>(protect(cpu, range, memory::PageAttr{})); }
  /// Opens a region for ring 3, or for ring 0 only; one that is open in the same way already stays so. Errors of
  /// check_closed(). OutOfResources: tracker or table pages are full.
  Expected<void> open(Cpu& cpu, Range range, bool supervisor) noexcept;
  /// A region that the loader has mapped is tracked; one that it has not is opened by the rules of open().
  /// SecurityViolation: mapped with other rights than asked for, or in MMRAM.
  Expected<void> adopt_region(Cpu& cpu, abi::MemoryDescriptor const& region) noexcept;

  /// One event for each run of present pages with equal rights: the whole map of MM, in ascending order.
  void report(Here<M> const& here) const noexcept;

 private:
  static constexpr std::size_t kLent = 3;  ///< user buffer, supervisor-to-user page, HOB list

  u64 root_ = 0;
  u64 address_limit_ = memory::kAddressLimit;  ///< no page above it is opened
  memory::PageAllocator allocator_;
  memory::UnblockTracker unblocked_;
  std::array<Range, kLent> lent_{};
};

template <hal::Machine M>
Expected<PhysAddr> AddressSpace<M>::lend(Cpu& cpu, u64 pages) noexcept {
  MM_TRY_ASSIGN(PhysAddr const at, allocate(cpu, pages, memory::Owner::User));
  for (Range& one : lent_) {
    if (one.size == 0) {
      one = {raw(at), pages << kPageShift};
      return at;
    }
  }
  return std::unexpected(Status::OutOfResources);
}

template <hal::Machine M>
Expected<void> AddressSpace<M>::free_user(Here<M> const& here, Range range) noexcept {
  if (here.enforced(Check::FreePageOwner)) {
    MM_TRY(precondition::are_apart(range, lent_));
  }
  return allocator_.free(here.cpu, PhysAddr{root_}, range.base, range.size >> kPageShift, memory::Owner::User);
}

template <hal::Machine M>
std::optional<UserRange> AddressSpace<M>::claim(Here<M> const& here, UserAddr at, u64 bytes,
                                                Access access) const noexcept {
  Range const range{raw(at), bytes};
  if (!here.enforced(Check::UserPointer)) {
    return UserRange(range);
  }
  if (!precondition::is_user_range(range)) {
    return {};
  }
  auto const attr = tables(here.cpu).query_uniform(range);
  bool const owned = attr.has_value() && attr->user && (attr->writable || access == Access::Read);
  return owned ? std::optional(UserRange(range)) : std::nullopt;
}

template <hal::Machine M>
bool AddressSpace<M>::is_open_to_user(Here<M> const& here, UserAddr at, u64 bytes) const noexcept {
  auto const range = Range::make(raw(at), bytes);
  return range && unblocked_.contains(*range) && claim(here, at, bytes, Access::Read);
}

template <hal::Machine M>
Expected<void> AddressSpace<M>::check_closed(Cpu& cpu, Range range) const noexcept {
  if (unblocked_.overlaps(range)) {
    return std::unexpected(Status::SecurityViolation);
  }
  MM_TRY(precondition::can_be_opened(range, address_limit_));
  if (!tables(cpu).is_absent(range)) {
    return std::unexpected(Status::SecurityViolation);
  }
  return {};
}

template <hal::Machine M>
Expected<void> AddressSpace<M>::map_closed(Cpu& cpu, Range range, memory::PageAttr attr) noexcept {
  auto const mapped = protect(cpu, range, attr);
  if (!mapped) {
    close(cpu, range);
  }
  return mapped;
}

template <hal::Machine M>
Expected<void> AddressSpace<M>::open(Cpu& cpu, Range range, bool supervisor) noexcept {
  memory::UnblockTracker::Entry const entry{range, supervisor};
  if (unblocked_.has(entry)) {
    return {};
  }
  MM_TRY(check_closed(cpu, range));
  if (unblocked_.full()) {
    return std::unexpected(Status::OutOfResources);
  }
  MM_TRY(map_closed(cpu, range, supervisor ? memory::kSupervisorData : memory::kUserData));
  return unblocked_.add(entry);
}

template <hal::Machine M>
Expected<void> AddressSpace<M>::adopt_region(Cpu& cpu, abi::MemoryDescriptor const& region) noexcept {
  Range const range{region.physical_start, region.number_of_pages << kPageShift};
  bool const supervisor = (region.attribute & abi::kMemorySp) != 0;
  auto const attr = tables(cpu).query_uniform(range);
  if (!attr || unblocked_.overlaps(range)) {
    return open(cpu, range, supervisor);
  }
  bool const as_asked = *attr == (supervisor ? memory::kSupervisorData : memory::kUserData);
  return as_asked ? unblocked_.add({range, supervisor}) : std::unexpected(Status::SecurityViolation);
}

template <hal::Machine M>
void AddressSpace<M>::report(Here<M> const& here) const noexcept {
  if constexpr (M::kTraced) {
    using hal::event::MemoryMap;
    Range run;
    memory::PageAttr attr;
    auto const tell = [&]() noexcept {
      if (run.size != 0) {
        here.emit(MemoryMap{run.base, run.size,
                            (attr.writable ? MemoryMap::kWritable : 0) | (attr.user ? MemoryMap::kUser : 0) |
                                (attr.executable ? MemoryMap::kExecutable : 0)});
      }
    };
    tables(here.cpu).for_each_leaf([&](Range leaf, memory::PageAttr now) noexcept {
      if (run.end() == leaf.base && now == attr) {
        run.size += leaf.size;
        return;
      }
      tell();
      run = leaf;
      attr = now;
    });
    tell();
  }
}

}  // namespace mm::supervisor
