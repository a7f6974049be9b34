// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/handover/reading.hpp"

/// The live page tables as a whole: what the first MMI finds mapped, whatever the list says.
namespace mm::supervisor::handover {

/// What is wrong about one leaf; the zero value when nothing is. Nothing is writable and executable, nothing outside
/// MMRAM is code, page 0 is absent, no page of MMRAM that is called free is in use, no page is beyond the CPU's
/// addresses.
template <hal::PhysMemory Mem>
InitProblem leaf_problem(Reading<Mem>& r, Range leaf, memory::PageAttr attr) noexcept {
  if (leaf.base == 0) {
    return InitProblem::NullPage;
  }
  if (attr.writable && attr.executable) {
    return InitProblem::WritableCode;
  }
  if (attr.executable && !r.out.mmram.contains(leaf)) {
    return InitProblem::CodeOutsideMmram;
  }
  if (r.touches_free_mmram(leaf)) {
    return InitProblem::FreePages;
  }
  return leaf.end() > r.ground.address_limit ? InitProblem::AddressBits : InitProblem{};
}

/// The tables themselves are read-only supervisor pages of MMRAM, and nothing is wrong about any leaf.
template <hal::PhysMemory Mem>
Checked<void> check_tables(Reading<Mem>& r) noexcept {
  Checked<void> result{};
  auto const note = [&result](InitProblem problem, u64 at) noexcept {
    if (result && problem != InitProblem{}) {
      result = init_error(problem, at);
    }
  };
  r.tables.for_each_table([&](PhysAddr table) noexcept {
    auto const attr = r.tables.query(raw(table));
    bool const good = r.in_mmram(raw(table), kPageSize) && attr && !attr->user && !attr->writable;
    note(good ? InitProblem{} : InitProblem::TablePages, raw(table));
  });
  MM_TRY(result);
  r.tables.for_each_leaf(
      [&](Range leaf, memory::PageAttr attr) noexcept { note(leaf_problem(r, leaf, attr), leaf.base); });
  return result;
}

}  // namespace mm::supervisor::handover
