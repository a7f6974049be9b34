// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/user/mmst.hpp"
#include "core/user/objects.hpp"

namespace mm::user {

/// MmAllocatePages and MmFreePages: what was handed out, so that a wrong free is a status and not the end of the
/// machine (FREE_PAGE of memory that is not the user's is fatal in ring 0). Log n steps for n allocations.
template <Ring3 R>
class PageLedger {
 public:
  explicit PageLedger(Pool<R>& pool) noexcept : pool_(pool) {}

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
    if (*base + pages * kPageSize - 1 > maximum || !add(*base, pages, owner)) {
      call(pool_.ring3(), abi::Syscall::FreePage, *base, pages);
      return Status::OutOfResources;
    }
    *memory = *base;
    return Status::Success;
  }

  /// InvalidParameter: zero, unaligned or not inside one allocation of this ledger. A part of an allocation may be
  /// freed. OutOfResources: no memory to note that an allocation is in two parts now.
  Status free(u64 memory, u64 pages) noexcept {
    if (memory == 0 || memory % kPageSize != 0 || pages == 0 || pages > UINT64_MAX / kPageSize) {
      return Status::InvalidParameter;
    }
    auto above = entries_.upper_bound(memory);
    if (above == entries_.begin()) {
      return Status::InvalidParameter;
    }
    Entry& entry = *--above;
    if (!Range{entry.base, entry.pages * kPageSize}.contains({memory, pages * kPageSize})) {
      return Status::InvalidParameter;
    }
    u64 const before = (memory - entry.base) / kPageSize;
    u64 const after = entry.pages - before - pages;
    if (before != 0 && after != 0 && !add(memory + pages * kPageSize, after, entry.owner)) {
      return Status::OutOfResources;
    }
    if (before != 0) {
      entry.pages = before;
    } else if (after != 0) {
      entry.base += pages * kPageSize;  // still between its neighbours
      entry.pages = after;
    } else {
      entries_.erase(entries_.iterator_to(entry));
      discard(pool_, &entry);
    }
    call(pool_.ring3(), abi::Syscall::FreePage, memory, pages);
    return Status::Success;
  }

 private:
  struct Entry {
    TreeHook hook;
    u64 base = 0;
    u64 pages = 0;
    u64 owner = 0;
  };
  struct BaseOf {
    using type = u64;
    u64 operator()(Entry const& entry) const noexcept { return entry.base; }
  };

  bool add(u64 base, u64 pages, u64 owner) noexcept {
    auto const made = make<Entry>(pool_);
    if (!made.has_value()) {
      return false;
    }
    (*made)->base = base;
    (*made)->pages = pages;
    (*made)->owner = owner;
    entries_.insert(**made);
    return true;
  }

  Pool<R>& pool_;
  Tree<Entry, &Entry::hook, BaseOf> entries_;
};

}  // namespace mm::user
