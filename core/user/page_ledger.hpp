// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/user/mmst.hpp"
#include "core/user/pool.hpp"

namespace mm::user {

/// MmAllocatePages and MmFreePages: what was handed out, so that a wrong free is a status and not the end of the
/// machine (FREE_PAGE of memory that is not the user's is fatal in ring 0).
template <Ring3 R>
class PageLedger {
 public:
  explicit constexpr PageLedger(Pool<R>& pool) noexcept : pool_(pool), entries_(pool) {}

  /// InvalidParameter: null result, unknown type, memory type neither 5 nor 6; Unsupported: fixed address or code
  /// memory; OutOfResources: none left, or not below the wanted maximum.
  Status allocate(u32 type, u32 memory_type, u64 pages, u64* memory, u64 owner) noexcept {
    if (memory == nullptr || pages == 0 || type > kAllocateAddress ||
        (memory_type != kRuntimeServicesCode && memory_type != kRuntimeServicesData)) {
      return Status::InvalidParameter;
    }
    if (type == kAllocateAddress || memory_type == kRuntimeServicesCode) {
      return Status::Unsupported;
    }
    u64 const maximum = type == kAllocateMaxAddress ? *memory : UINT64_MAX;
    auto const base = allocate_pages(pool_.ring3(), pages);
    if (!base.has_value()) {
      return base.error();
    }
    if (*base + pages * kPageSize - 1 > maximum || !entries_.push_back({*base, pages, owner}).has_value()) {
      call(pool_.ring3(), abi::Syscall::FreePage, *base, pages);
      return Status::OutOfResources;
    }
    *memory = *base;
    return Status::Success;
  }

  /// InvalidParameter: zero, unaligned or not inside one allocation of this ledger. A part of an allocation may be
  /// freed.
  Status free(u64 memory, u64 pages) noexcept {
    if (memory == 0 || memory % kPageSize != 0 || pages == 0 || pages > UINT64_MAX / kPageSize) {
      return Status::InvalidParameter;
    }
    for (u64 i = 0; i < entries_.size(); ++i) {
      Entry const entry = entries_[i];
      if (!Range{entry.base, entry.pages * kPageSize}.contains({memory, pages * kPageSize})) {
        continue;
      }
      u64 const before = (memory - entry.base) / kPageSize;
      u64 const after = entry.pages - before - pages;
      if (after != 0 && before != 0 &&
          !entries_.push_back({memory + pages * kPageSize, after, entry.owner}).has_value()) {
        return Status::OutOfResources;
      }
      if (before != 0) {
        entries_[i].pages = before;
      } else if (after != 0) {
        entries_[i] = {memory + pages * kPageSize, after, entry.owner};
      } else {
        entries_.erase(i);
      }
      call(pool_.ring3(), abi::Syscall::FreePage, memory, pages);
      return Status::Success;
    }
    return Status::InvalidParameter;
  }

 private:
  struct Entry {
    u64 base = 0;
    u64 pages = 0;
    u64 owner = 0;
  };
  Pool<R>& pool_;
  PoolVector<Entry, R> entries_;
};

}  // namespace mm::user
