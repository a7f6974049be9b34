// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/handover/reading.hpp"

/// The ring-3 stacks of a hand-over: one a CPU, side by side.
namespace mm::supervisor::handover {

/// They lie in MMRAM, in whole pages, and share none with a module.
template <hal::PhysMemory Mem>
Checked<void> check_stacks(Reading<Mem>& r) noexcept {
  abi::PassDown const& p = r.out.pass_down;
  auto const bytes = checked_mul(p.cpl3_per_core_stack_size, r.out.cpus);
  if (p.cpl3_stack_base % kPageSize != 0 || p.cpl3_per_core_stack_size % kPageSize != 0 ||
      p.cpl3_per_core_stack_size == 0 || !bytes) {
    return init_error(InitProblem::StackSize, p.cpl3_stack_base);
  }
  Range const stacks{p.cpl3_stack_base, *bytes};
  if (!r.in_mmram(stacks.base, stacks.size)) {
    return init_error(InitProblem::StackOutsideMmram, stacks.base);
  }
  for (u32 i = 0; i < r.out.images; ++i) {
    if (stacks.overlaps(r.images[i].range)) {
      return init_error(InitProblem::StackOverlap, r.images[i].range.base);
    }
  }
  return {};
}

/// Each is ring-3 data; the lowest page of one may be missing: then it is a guard. None is on a page that the page
/// allocator could give out, guards included.
template <hal::PhysMemory Mem>
Checked<void> check_stack_pages(Reading<Mem>& r) noexcept {
  abi::PassDown const& p = r.out.pass_down;
  for (u64 i = 0; i < r.out.cpus; ++i) {
    u64 const lowest = p.cpl3_stack_base + i * p.cpl3_per_core_stack_size;
    Range const stack{lowest + kPageSize, p.cpl3_per_core_stack_size - kPageSize};
    auto const guard = r.tables.query(lowest);
    if (!r.mapped_as(stack, memory::kUserData) || (guard && !(*guard == memory::kUserData))) {
      return init_error(InitProblem::StackPages, lowest);
    }
  }
  return r.touches_free_mmram({p.cpl3_stack_base, p.cpl3_per_core_stack_size * r.out.cpus})
             ? init_error(InitProblem::FreePages, p.cpl3_stack_base)
             : Checked<void>{};
}

}  // namespace mm::supervisor::handover
