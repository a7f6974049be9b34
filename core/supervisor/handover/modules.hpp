// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/handover/reading.hpp"

/// Memory allocations and modules of a hand-over: the two cores and the drivers, and the pages that they are on.
namespace mm::supervisor::handover {

/// A module by itself: whole pages of MMRAM around its entry point.
template <hal::PhysMemory Mem>
Checked<Range> check_module_range(Reading<Mem>& r, abi::HobMemoryAllocationModule const& module) noexcept {
  auto const range = Range::make(module.base, module.length);
  if (!range || module.length == 0) {
    return init_error(InitProblem::ModuleLength, module.base);
  }
  if (!r.out.mmram.contains(*range)) {
    return init_error(InitProblem::ModuleOutsideMmram, module.base);
  }
  if ((module.base | module.length) % kPageSize != 0) {
    return init_error(InitProblem::ModuleAlignment, module.base);
  }
  if (!range->contains({module.entry_point, 1})) {
    return init_error(InitProblem::ModuleEntry, module.base);
  }
  return *range;
}

/// Whether the range shares a byte with the supervisor or with a module that came before.
template <hal::PhysMemory Mem>
bool overlaps_a_module(Reading<Mem> const& r, Range range) noexcept {
  bool overlap = r.out.core.length != 0 && range.overlaps({r.out.core.base, r.out.core.length});
  for (u32 i = 0; i < r.out.images && range.base < r.seen.modules_end; ++i) {
    overlap = overlap || range.overlaps(r.images[i].range);
  }
  return overlap;
}

/// Takes one module down: the supervisor, which must be the one that runs, or an image of ring 3.
template <hal::PhysMemory Mem>
Checked<void> read_module(Reading<Mem>& r, PhysAddr hob) noexcept {
  auto const module = get<abi::HobMemoryAllocationModule>(r, hob);
  MM_TRY_ASSIGN(Range const range, check_module_range(r, module));
  bool const is_core = module.module_name == guids::gMmSupervisorCoreGuid;
  bool const is_user_core = module.module_name == guids::gMmSupervisorUserGuid;
  if (is_core && r.out.core.length != 0) {
    return init_error(InitProblem::CoreTwice, module.base);
  }
  if (is_user_core && r.out.user.length != 0) {
    return init_error(InitProblem::UserCoreTwice, module.base);
  }
  if (overlaps_a_module(r, range)) {
    return init_error(InitProblem::ModuleOverlap, module.base);
  }
  r.seen.modules_end = range.end() > r.seen.modules_end ? range.end() : r.seen.modules_end;
  if (is_core) {
    r.out.core = module;
    return range.contains({r.ground.code, 1}) ? Checked<void>{} : init_error(InitProblem::CoreIsAnother, module.base);
  }
  if (is_user_core) {
    r.out.user = module;
  }
  if (r.out.images == r.images.size()) {
    return init_error(InitProblem::ModuleCount, module.base);
  }
  r.images[r.out.images++] = {range, raw(hob)};
  return {};
}

/// A module HOB is one by name and length; every other allocation must leave MMRAM alone.
template <hal::PhysMemory Mem>
Checked<void> read_allocation(Reading<Mem>& r, Hob const& hob) noexcept {
  bool const module = hob.name == guids::gMmSupervisorHobMemoryAllocModuleGuid;
  if (module && hob.bytes < sizeof(abi::HobMemoryAllocationModule)) {
    return init_error(InitProblem::HobLength, raw(hob.at));
  }
  if (module) {
    return read_module(r, hob.at);
  }
  auto const plain = get<abi::HobMemoryAllocation>(r, hob.at);
  auto const range = Range::make(plain.base, plain.length);
  if (!range || range->overlaps(r.ground.mmram)) {
    return init_error(InitProblem::AllocationInMmram, plain.base);
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> check_image(Reading<Mem>& r, Range image, u64 entry, bool user) noexcept {
  for (u64 page = image.base; page < image.end(); page += kPageSize) {
    auto const attr = r.tables.query(page);
    if (!attr || attr->user != user) {
      return init_error(user ? InitProblem::UserPages : InitProblem::SupervisorPages, page);
    }
  }
  auto const at_entry = r.tables.query(entry);
  if (!at_entry || !at_entry->executable || at_entry->writable) {
    return init_error(InitProblem::EntryPage, entry);
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> check_images(Reading<Mem>& r) noexcept {
  MM_TRY(check_image(r, {r.out.core.base, r.out.core.length}, r.out.core.entry_point, false));
  for (u32 i = 0; i < r.out.images; ++i) {
    auto const module = get<abi::HobMemoryAllocationModule>(r, PhysAddr{r.images[i].hob});
    MM_TRY(check_image(r, r.images[i].range, module.entry_point, true));
  }
  return {};
}

}  // namespace mm::supervisor::handover
