// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/loader/arena.hpp"
#include "core/loader/volume.hpp"
#include "core/policy/policy.hpp"

namespace mm::loader {

inline constexpr u64 kPolicySnapshotBytes = 0x400;  ///< room that a verifier wants behind the policy

/// Copies the secure policy, the RAW section of the first policy file, to pages that only ring 0 reads. No file: no
/// policy. PolicyNoRaw, PolicySize, OutOfMmram. What the policy says is for the supervisor to check.
template <hal::PhysMemory Mem>
Result<void> load_policy(Mem& memory, Arena<Mem>& arena, Volume const& volume, LoadResult& result) noexcept {
  return volume.each_file([&](image::FvFile const& file) -> Result<void> {
    if (!Volume::is_policy(file) || result.policy != 0) {
      return {};
    }
    MM_TRY_ASSIGN(auto const section, volume.section_of(file, image::section_type::kRaw));
    if (!section) {
      return fail(LoadProblem::PolicyNoRaw, Status::NotFound, file.offset, file.name);
    }
    u64 const size = policy::View(section->body).size();
    if (size < policy::kHeaderSize || size > section->body.size() || size > policy::kMaxBytes) {
      u64 const field = volume.offset_of(section->body) + policy::kSizeAt;
      return fail(LoadProblem::PolicySize, Status::BadBufferSize, field, file.name);
    }
    MM_TRY_ASSIGN(result.policy,
                  arena.allocate_mapped(pages_for(size + kPolicySnapshotBytes), memory::kSupervisorReadOnly));
    result.policy_bytes = size;
    memory.write(PhysAddr{result.policy}, image::slice(section->body, 0, size));
    return {};
  });
}

}  // namespace mm::loader
