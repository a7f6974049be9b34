// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <bit>
#include "core/supervisor/handover/reading.hpp"

/// Resource descriptors and firmware volumes of a hand-over: no range of one kind may be there twice.
namespace mm::supervisor::handover {

inline constexpr u64 kMaxResources = 128;

constexpr bool is_io(u32 resource_type) noexcept {
  return resource_type == abi::kResourceIo || resource_type == abi::kResourceIoReserved;
}

/// What a descriptor of version 2 says of caching: exactly one way for memory, none for I/O.
constexpr bool has_good_attributes(abi::HobResourceDescriptor2 const& d) noexcept {
  constexpr u64 kCacheable = 0xF;  // UC WC WT WB
  constexpr u64 kUncachedExported = 0x10;
  return is_io(d.v1.resource_type)
             ? d.attributes == 0
             : std::popcount(d.attributes & kCacheable) == 1 && (d.attributes & kUncachedExported) == 0;
}

/// Resources of one version and kind (memory or I/O) must not overlap; memory bins are not resources.
template <hal::PhysMemory Mem>
Checked<void> read_resource(Reading<Mem>& r, Hob const& hob) noexcept {
  auto const d = get<abi::HobResourceDescriptor>(r, hob.at);
  if (d.owner == guids::gEfiMemoryTypeInformationGuid) {
    return {};
  }
  auto const range = Range::make(d.physical_start, d.resource_length);
  if (!range) {
    return init_error(InitProblem::ResourceRange, d.physical_start);
  }
  if (hob.type == abi::HobType::ResourceDescriptor2 &&
      !has_good_attributes(get<abi::HobResourceDescriptor2>(r, hob.at))) {
    return init_error(InitProblem::ResourceAttributes, d.physical_start);
  }
  u64 count = 0;
  return r.each([&](Hob const& other) noexcept -> Checked<void> {
    if (raw(other.at) >= raw(hob.at) || other.type != hob.type) {
      return {};
    }
    auto const o = get<abi::HobResourceDescriptor>(r, other.at);
    if (o.owner == guids::gEfiMemoryTypeInformationGuid || is_io(o.resource_type) != is_io(d.resource_type)) {
      return {};
    }
    if (++count == kMaxResources) {
      return init_error(InitProblem::ResourceCount, d.physical_start);
    }
    return range->overlaps({o.physical_start, o.resource_length})
               ? init_error(InitProblem::ResourceOverlap, d.physical_start)
               : Checked<void>{};
  });
}

/// A firmware volume is entirely in MMRAM or entirely outside, and shares nothing with another.
template <hal::PhysMemory Mem>
Checked<void> read_volume(Reading<Mem>& r, Hob const& hob) noexcept {
  auto const fv = get<abi::HobFv>(r, hob.at);
  auto const range = Range::make(fv.base, fv.length);
  if (!range || fv.length == 0 || (range->overlaps(r.ground.mmram) && !r.ground.mmram.contains(*range))) {
    return init_error(InitProblem::VolumeRange, fv.base);
  }
  return r.each([&](Hob const& other) noexcept -> Checked<void> {
    if (raw(other.at) >= raw(hob.at) || other.type != abi::HobType::Fv) {
      return {};
    }
    auto const o = get<abi::HobFv>(r, other.at);
    return range->overlaps({o.base, o.length}) ? init_error(InitProblem::VolumeOverlap, fv.base) : Checked<void>{};
  });
}

}  // namespace mm::supervisor::handover
