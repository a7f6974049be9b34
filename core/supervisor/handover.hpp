// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/handover/channels.hpp"
#include "core/supervisor/handover/list.hpp"
#include "core/supervisor/handover/live_tables.hpp"
#include "core/supervisor/handover/mmram.hpp"
#include "core/supervisor/handover/modules.hpp"
#include "core/supervisor/handover/pass_down.hpp"
#include "core/supervisor/handover/processors.hpp"
#include "core/supervisor/handover/regions.hpp"
#include "core/supervisor/handover/resources.hpp"
#include "core/supervisor/handover/stacks.hpp"

/// The hand-over of the loader - HOB list and PassDown - as untrusted input: the union of what both references check
/// (core/ARCHITECTURE.md 3.3), and each refusal by its own name. This file is the order; what is checked is in the
/// folder, a file a theme.
namespace mm::supervisor {

namespace handover {

template <hal::PhysMemory Mem>
Checked<void> read_guid_hob(Reading<Mem>& r, Hob const& hob) noexcept {
  if (hob.name == guids::gMmSupervisorPassDownHobGuid) {
    return read_pass_down(r, hob);
  }
  if (hob.name == guids::gMpInformationHobGuid) {
    return read_processors(r, hob);
  }
  if (hob.name == guids::gMmCommonRegionHobGuid) {
    return read_common_region(r, hob);
  }
  if (hob.name == guids::gMmCommBufferHobGuid) {
    return read_comm_buffer(r, hob);
  }
  if (hob.name == guids::gMsegSmramGuid) {
    return read_mseg(r, hob);
  }
  if (hob.name == guids::gMmProtectedRegionHobGuid) {
    return read_protected_region(r, hob);
  }
  if (hob.name == guids::gMmSupvUnblockRegionHobGuid) {
    return read_unblock(r, hob);
  }
  if (hob.name == abi::kHeapGuardHobGuid) {
    r.out.options.heap_guard = true;
    return {};
  }
  return hob.name == abi::kTestOptionsHobGuid ? read_options(r, hob) : Checked<void>{};
}

/// HOBs of other types tell the supervisor nothing.
template <hal::PhysMemory Mem>
Checked<void> read_hob(Reading<Mem>& r, Hob const& hob) noexcept {
  switch (hob.type) {
    case abi::HobType::MemoryAllocation:
      return read_allocation(r, hob);
    case abi::HobType::ResourceDescriptor:
    case abi::HobType::ResourceDescriptor2:
      return read_resource(r, hob);
    case abi::HobType::Fv:
      return read_volume(r, hob);
    case abi::HobType::GuidExtension:
      return read_guid_hob(r, hob);
    case abi::HobType::Handoff:
    case abi::HobType::Cpu:
    case abi::HobType::Unused:
    case abi::HobType::EndOfHobList:
      break;
  }
  return {};
}

/// What there must be at least once.
template <hal::PhysMemory Mem>
Checked<void> check_complete(Reading<Mem> const& r) noexcept {
  if (r.out.core.length == 0) {
    return init_error(InitProblem::CoreMissing);
  }
  if (r.out.user.length == 0) {
    return init_error(InitProblem::UserCoreMissing);
  }
  if (r.out.cpus == 0) {
    return init_error(InitProblem::ProcessorsMissing);
  }
  if (!r.seen.pass_down) {
    return init_error(InitProblem::PassDownMissing);
  }
  for (auto const& channel : r.out.channels) {
    if (!channel.found) {
      return init_error(InitProblem::BufferMissing);
    }
  }
  return {};
}

/// The list by itself.
template <hal::PhysMemory Mem>
Checked<void> read_list(Reading<Mem>& r) noexcept {
  MM_TRY_ASSIGN(r.out.list_bytes, measure(r));
  MM_TRY(read_mmram(r));
  if (!r.in_mmram(raw(r.list), r.out.list_bytes)) {
    return init_error(InitProblem::ListOutsideMmram, raw(r.list));
  }
  MM_TRY(r.each([&r](Hob const& hob) noexcept { return read_hob(r, hob); }));
  MM_TRY(check_complete(r));
  MM_TRY(check_pass_down(r));
  return check_channels(r);
}

/// What it says, against the live page tables.
template <hal::PhysMemory Mem>
Checked<void> check_pages(Reading<Mem>& r) noexcept {
  MM_TRY(check_tables(r));
  MM_TRY(check_images(r));
  MM_TRY(check_stack_pages(r));
  MM_TRY(check_pass_down_pages(r));
  MM_TRY(check_smbase(r));
  MM_TRY(check_channel_pages(r));
  return check_region_pages(r);
}

}  // namespace handover

/// Reads and checks the hand-over at `list`: stage 1, then stage 2 (core/ARCHITECTURE.md 3.3). The first problem ends
/// it. `root`: of the live tables. `images` receives the ring-3 modules.
template <hal::PhysMemory Mem>
Checked<Handover> read_handover(Mem& memory, PhysAddr root, PhysAddr list, Ground ground,
                                std::span<UserImage> images) noexcept {
  if (ground.mmram.size == 0) {
    return init_error(InitProblem::MmramUnprotected);
  }
  handover::Reading<Mem> r{memory, memory::PageTables<Mem>(memory, root), ground, images, list};
  MM_TRY(handover::read_list(r));
  MM_TRY(handover::check_pages(r));
  return r.out;
}

}  // namespace mm::supervisor
