// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/handover/reading.hpp"

/// Where the list of a hand-over begins and ends. Every byte that decides something is read from pages that ring 3 and
/// the normal world cannot reach: the list is held against the chipset's MMRAM and the live tables before it is read.
namespace mm::supervisor::handover {

/// Every page of [from, to) must be one that only ring 0 can reach, before a byte of it is read.
template <hal::PhysMemory Mem>
Checked<void> check_readable(Reading<Mem>& r, u64 from, u64 to) noexcept {
  for (u64 page = align_down(from, kPageSize); page < to; page += kPageSize) {
    auto const attr = r.tables.query(page);
    if (!attr || attr->user) {
      return init_error(InitProblem::ListPages, page);
    }
  }
  return {};
}

/// The list begins inside the protected MMRAM with a hand-off HOB. Its bytes up to the end of MMRAM or of the limit.
template <hal::PhysMemory Mem>
Checked<u64> find_limit(Reading<Mem>& r) noexcept {
  u64 const base = raw(r.list);
  if (base % 8 != 0) {
    return init_error(InitProblem::ListAddress, base);
  }
  if (!r.ground.mmram.contains({base, sizeof(abi::HobHandoff)})) {
    return init_error(InitProblem::ListOutsideMmram, base);
  }
  MM_TRY(check_readable(r, base, base + sizeof(abi::HobHeader)));
  if (r.header(0).type != static_cast<u16>(abi::HobType::Handoff)) {
    return init_error(InitProblem::NoHandoff, base);
  }
  u64 const room = r.ground.mmram.end() - base;
  return room < abi::kHobListLimit ? room : abi::kHobListLimit;
}

/// Length of the list. It ends inside the protected MMRAM and within abi::kHobListLimit; the PHIT's word for it is not
/// taken.
template <hal::PhysMemory Mem>
Checked<u64> measure(Reading<Mem>& r) noexcept {
  u64 const base = raw(r.list);
  MM_TRY_ASSIGN(u64 const limit, find_limit(r));
  abi::HobWalk walk([&r](u64 offset) noexcept { return r.header(offset); }, limit);
  while (walk.has_room()) {
    u64 const at = base + walk.position();
    MM_TRY(check_readable(r, at, at + sizeof(abi::HobHeader)));
    auto const step = walk.next();
    if (!step && step.error().fault == abi::HobFault::Truncated) {
      break;
    }
    if (!step || !abi::has_hob_length(step->header)) {
      return init_error(InitProblem::HobLength, at);
    }
    u64 const end = step->offset + step->header.length;
    if (end > limit) {
      break;
    }
    MM_TRY(check_readable(r, at, base + end));
    if (step->is_end()) {
      return end;
    }
  }
  return init_error(InitProblem::HobTruncated, base);
}

}  // namespace mm::supervisor::handover
