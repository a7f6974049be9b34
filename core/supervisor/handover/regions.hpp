// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/request/request.hpp"
#include "core/supervisor/handover/reading.hpp"

/// What else a hand-over names: test options, registers of an IOMMU, regions to unblock, MSEG.
namespace mm::supervisor::handover {

template <hal::PhysMemory Mem>
Checked<void> read_options(Reading<Mem>& r, Hob const& hob) noexcept {
  if (r.seen.options || hob.payload_bytes() != sizeof(abi::TestOptions)) {
    return init_error(InitProblem::TestOptionsLength, raw(hob.at));
  }
  r.seen.options = true;
  static_cast<abi::TestOptions&>(r.out.options) = get<abi::TestOptions>(r, hob.payload());
  return {};
}

/// An IOMMU's registers: the loader has opened them to ring 3, to read.
template <hal::PhysMemory Mem>
Checked<void> read_protected_region(Reading<Mem>& r, Hob const& hob) noexcept {
  if (hob.payload_bytes() < sizeof(abi::MmProtectedRegion)) {
    return init_error(InitProblem::HobLength, raw(hob.at));
  }
  auto const region = get<abi::MmProtectedRegion>(r, hob.payload());
  if (region.type != abi::kProtectedIommu) {
    return init_error(InitProblem::ProtectedRegionType, region.type);
  }
  Range const range = pages_at(region.addr, region.number_of_pages);
  if (range.size == 0 || range.overlaps(r.ground.mmram)) {
    return init_error(InitProblem::ProtectedRegionRange, region.addr);
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> read_unblock(Reading<Mem>& r, Hob const& hob) noexcept {
  if (hob.payload_bytes() < sizeof(abi::UnblockMemoryParams)) {
    return init_error(InitProblem::HobLength, raw(hob.at));
  }
  auto const params = get<abi::UnblockMemoryParams>(r, hob.payload());
  if (!request::unblock_range(params, r.ground.mmram) || params.descriptor.physical_start < kPageSize) {
    return init_error(InitProblem::UnblockRegion, params.descriptor.physical_start);
  }
  return {};
}

/// MSEG of an STM. One that is malformed counts as none, as in the reference.
template <hal::PhysMemory Mem>
Checked<void> read_mseg(Reading<Mem>& r, Hob const& hob) noexcept {
  if (r.seen.mseg) {
    return init_error(InitProblem::MsegTwice, raw(hob.at));
  }
  r.seen.mseg = true;
  if (hob.payload_bytes() >= sizeof(abi::MmramDescriptor)) {
    auto const d = get<abi::MmramDescriptor>(r, hob.payload());
    if ((d.cpu_start | d.physical_size) % kPageSize == 0 && r.out.mmram.contains({d.cpu_start, d.physical_size})) {
      r.out.mseg = {d.cpu_start, d.physical_size};
    }
  }
  return {};
}

/// What is open outside MMRAM is open in the way that its HOB asks for.
template <hal::PhysMemory Mem>
Checked<void> check_region_pages(Reading<Mem>& r) noexcept {
  if (r.out.mseg.size != 0 && !r.mapped_as(r.out.mseg, memory::kSupervisorReadOnly)) {
    return init_error(InitProblem::MsegPages, r.out.mseg.base);
  }
  return r.each([&r](Hob const& hob) noexcept -> Checked<void> {
    if (!hob.is_guid(guids::gMmProtectedRegionHobGuid)) {
      return {};
    }
    auto const region = get<abi::MmProtectedRegion>(r, hob.payload());
    return r.mapped_as({region.addr, region.number_of_pages << kPageShift}, memory::kUserReadOnly)
               ? Checked<void>{}
               : init_error(InitProblem::ProtectedRegionPages, region.addr);
  });
}

}  // namespace mm::supervisor::handover
