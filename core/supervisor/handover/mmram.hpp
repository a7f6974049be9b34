// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/handover/reading.hpp"

/// The MMRAM regions of a hand-over: what the supervisor may give out and what it may take for its own.
namespace mm::supervisor::handover {

inline constexpr u64 kMaxRegions = 256;

/// The MMRAM regions: ascending, without gap, inside what the chipset protects, and around the supervisor that runs.
template <hal::PhysMemory Mem>
Checked<void> read_mmram(Reading<Mem>& r) noexcept {
  MM_TRY(r.each([&r](Hob const& hob) noexcept -> Checked<void> {
    if (!hob.is_guid(guids::gEfiSmmSmramMemoryGuid) && !hob.is_guid(guids::gEfiMmPeiMmramMemoryReserveGuid)) {
      return {};
    }
    if (r.out.mmram_count != 0) {
      return init_error(InitProblem::MmramTwice, raw(hob.at));
    }
    u64 const count = hob.payload_bytes() < 8 ? 0 : get<u32>(r, hob.payload());
    if (count == 0 || count > kMaxRegions || count > (hob.payload_bytes() - 8) / sizeof(abi::MmramDescriptor)) {
      return init_error(InitProblem::MmramCount, raw(hob.at));
    }
    r.out.mmram_count = count;
    r.out.mmram_descriptors = hob.payload() + 8;
    return {};
  }));
  if (r.out.mmram_count == 0) {
    return init_error(InitProblem::MmramMissing);
  }
  for (u64 i = 0; i < r.out.mmram_count; ++i) {
    auto const d = get<abi::MmramDescriptor>(r, r.out.mmram_descriptors + i * sizeof(abi::MmramDescriptor));
    if (d.physical_size == 0 || (d.physical_start | d.physical_size) % kPageSize != 0 ||
        d.physical_start >= 1ull << 32 || d.physical_size > (1ull << 32) - d.physical_start) {
      return init_error(InitProblem::MmramRegion, d.physical_start);
    }
    if (i != 0 && d.physical_start != r.out.mmram.end()) {
      return init_error(InitProblem::MmramGap, d.physical_start);
    }
    if (!r.ground.mmram.contains({d.physical_start, d.physical_size})) {
      return init_error(InitProblem::MmramBeyondProtected, d.physical_start);
    }
    r.out.mmram = {i == 0 ? d.physical_start : r.out.mmram.base, r.out.mmram.size + d.physical_size};
  }
  if (!r.in_mmram(r.ground.code, 1)) {
    return init_error(InitProblem::MmramWithoutSupervisor, r.ground.code);
  }
  return {};
}

}  // namespace mm::supervisor::handover
