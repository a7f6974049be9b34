// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/arch/save_state.hpp"
#include "core/supervisor/handover/reading.hpp"

/// The processors of a hand-over, and the MMI entry code and save state of each.
namespace mm::supervisor::handover {

template <hal::PhysMemory Mem>
Checked<void> read_processors(Reading<Mem>& r, Hob const& hob) noexcept {
  if (r.out.cpus != 0) {
    return init_error(InitProblem::ProcessorsTwice, raw(hob.at));
  }
  u64 const room = hob.payload_bytes();
  u64 const count = room < sizeof(abi::MpInformationHeader)
                        ? 0
                        : get<abi::MpInformationHeader>(r, hob.payload()).number_of_processors;
  if (count == 0 || count > platform::kMaxCpus ||
      count > (room - sizeof(abi::MpInformationHeader)) / sizeof(abi::ProcessorInformation)) {
    return init_error(InitProblem::ProcessorCount, count);
  }
  r.out.cpus = static_cast<u32>(count);
  PhysAddr const first = hob.payload() + sizeof(abi::MpInformationHeader);
  for (u32 i = 0; i < r.out.cpus; ++i) {
    u64 const id = get<abi::ProcessorInformation>(r, first + i * sizeof(abi::ProcessorInformation)).processor_id;
    bool known = id >= UINT32_MAX;  // all ones: no CPU
    for (u32 other = 0; other < i; ++other) {
      known = known || r.out.apic_ids[other] == id;
    }
    if (known) {
      return init_error(InitProblem::ProcessorTwice, id);
    }
    r.out.apic_ids[i] = static_cast<u32>(id);
  }
  return {};
}

/// The page of a save state, from SMBASE; the processor descriptor lies in it too.
inline constexpr u64 kStatePage = align_down(arch::save_state::kOffset, kPageSize);

/// Each CPU has its own MMI entry code and save state, which only ring 0 can reach.
template <hal::PhysMemory Mem>
Checked<void> check_smbase(Reading<Mem>& r) noexcept {
  u64 const entry_bytes = align_up(r.out.pass_down.mmi_entry_size, kPageSize);
  auto const entry_of = [&](u64 smbase) noexcept { return Range{smbase + arch::kMmEntryOffset, entry_bytes}; };
  auto const state_of = [](u64 smbase) noexcept { return Range{smbase + kStatePage, kPageSize}; };
  for (u32 i = 0; i < r.out.cpus; ++i) {
    u64 const smbase = get<u64>(r, PhysAddr{r.out.pass_down.smbase + i * u64{8}});
    bool good = smbase <= UINT32_MAX && smbase % kPageSize == 0 && r.out.mmram.contains(entry_of(smbase)) &&
                r.out.mmram.contains(state_of(smbase));
    for (u32 n = 0; n < i; ++n) {
      for (Range const other : {entry_of(r.out.smbase[n]), state_of(r.out.smbase[n])}) {
        good = good && !other.overlaps(entry_of(smbase)) && !other.overlaps(state_of(smbase));
      }
    }
    if (!good) {
      return init_error(InitProblem::Smbase, smbase);
    }
    r.out.smbase[i] = smbase;
    if (!r.mapped_as(entry_of(smbase), memory::kSupervisorCode)) {
      return init_error(InitProblem::EntryPage, entry_of(smbase).base);
    }
    if (!r.mapped_as(state_of(smbase), memory::kSupervisorData)) {
      return init_error(InitProblem::SaveStatePages, state_of(smbase).base);
    }
  }
  return {};
}

}  // namespace mm::supervisor::handover
