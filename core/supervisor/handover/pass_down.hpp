// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/policy/policy.hpp"
#include "core/supervisor/handover/reading.hpp"
#include "core/supervisor/handover/stacks.hpp"

/// The PassDown HOB: the policy and the arrays that the loader made for the supervisor.
namespace mm::supervisor::handover {

inline constexpr u64 kMinEntryBytes = 26;  ///< of an MMI entry binary: a fix-up header and the size word
inline constexpr u64 kMaxEntryBytes = 0x7000;

template <hal::PhysMemory Mem>
Checked<void> read_pass_down(Reading<Mem>& r, Hob const& hob) noexcept {
  if (r.seen.pass_down) {
    return init_error(InitProblem::PassDownTwice, raw(hob.at));
  }
  if (hob.payload_bytes() < sizeof(abi::PassDown)) {
    return init_error(InitProblem::PassDownShort, raw(hob.at));
  }
  r.out.pass_down = get<abi::PassDown>(r, hob.payload());
  r.seen.pass_down = true;
  if (r.out.pass_down.revision != 2) {
    return init_error(InitProblem::PassDownRevision, r.out.pass_down.revision);
  }
  return {};
}

/// The policy lies in MMRAM and fits into the supervisor's copy.
template <hal::PhysMemory Mem>
Checked<void> check_policy(Reading<Mem>& r) noexcept {
  abi::PassDown const& p = r.out.pass_down;
  if (p.policy == 0 || p.policy_size == 0) {
    return init_error(InitProblem::PolicyMissing, p.policy);
  }
  if (!Range::make(p.policy, p.policy_size)) {
    return init_error(InitProblem::PolicyOverflow, p.policy);
  }
  if (p.policy_size > policy::kMaxBytes) {
    return init_error(InitProblem::PolicyTooLarge, p.policy_size);
  }
  if (!r.in_mmram(p.policy, p.policy_size)) {
    return init_error(InitProblem::PolicyOutsideMmram, p.policy);
  }
  return {};
}

template <hal::PhysMemory Mem>
Checked<void> check_pass_down(Reading<Mem>& r) noexcept {
  abi::PassDown const& p = r.out.pass_down;
  MM_TRY(check_policy(r));
  MM_TRY(check_stacks(r));
  if (p.smbase % 8 != 0 || !r.in_mmram(p.smbase, r.out.cpus * u64{8})) {
    return init_error(InitProblem::SmbaseArray, p.smbase);
  }
  if (!r.in_mmram(p.mm_initialized, r.out.cpus)) {
    return init_error(InitProblem::InitialisedBytes, p.mm_initialized);
  }
  if (p.mmi_entry_size < kMinEntryBytes || p.mmi_entry_size > kMaxEntryBytes) {
    return init_error(InitProblem::EntrySize, p.mmi_entry_size);
  }
  return {};
}

/// The arrays, the flags and the policy are on pages of ring 0, and no CPU counts as initialised yet.
template <hal::PhysMemory Mem>
Checked<void> check_pass_down_pages(Reading<Mem>& r) noexcept {
  abi::PassDown const& p = r.out.pass_down;
  auto const array = r.tables.query_uniform({p.smbase, r.out.cpus * u64{8}});
  if (!array || array->user) {
    return init_error(InitProblem::DataPages, p.smbase);
  }
  if (!r.mapped_as({p.mm_initialized, r.out.cpus}, memory::kSupervisorData)) {
    return init_error(InitProblem::DataPages, p.mm_initialized);
  }
  for (u64 i = 0; i < r.out.cpus; ++i) {
    if (get<u8>(r, PhysAddr{p.mm_initialized + i}) != 0) {
      return init_error(InitProblem::InitialisedBytes, p.mm_initialized + i);
    }
  }
  return r.mapped_as({p.policy, p.policy_size}, memory::kSupervisorReadOnly)
             ? Checked<void>{}
             : init_error(InitProblem::PolicyPages, p.policy);
}

}  // namespace mm::supervisor::handover
