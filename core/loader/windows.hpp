// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/comm.hpp"
#include "core/loader/arena.hpp"
#include "core/loader/boot_list.hpp"

namespace mm::loader {

/// What MM may reach of the normal world: communicate buffers, mailboxes and what unblock and protected-region HOBs
/// name. Everything lies outside MMRAM, and is opened once.
template <hal::PhysMemory Mem>
class Windows {
 public:
  explicit Windows(Arena<Mem>& arena) noexcept : arena_(arena) {}

  /// CommBufferMissing, CommBufferBad, UnblockBad.
  Result<void> open(BootList const& list) noexcept {
    bool user = false;
    bool supervisor = false;
    MM_TRY(list.each([&](Hob const& hob) -> Result<void> {
      if (hob.is_guid(guids::gMmCommBufferHobGuid)) {
        user = true;
        return open_user_channel(hob);
      }
      if (hob.is_guid(guids::gMmCommonRegionHobGuid)) {
        supervisor = true;
        return open_supervisor_channel(hob);
      }
      return {};
    }));
    if (!user || !supervisor) {
      return fail(LoadProblem::CommBufferMissing, Status::NotFound);
    }
    return list.each([this](Hob const& hob) -> Result<void> {
      if (hob.is_guid(guids::gMmProtectedRegionHobGuid)) {
        return open_protected(hob);
      }
      return hob.is_guid(guids::gMmSupvUnblockRegionHobGuid) ? open_unblocked(hob) : Result<void>{};
    });
  }

 private:
  bool outside_mmram(Range r) const noexcept {
    return r.base >= kPageSize && r.size != 0 && r.base < memory::kAddressLimit &&
           r.size <= memory::kAddressLimit - r.base && !r.overlaps(arena_.mmram());
  }
  static constexpr bool is_page_count(u64 pages) noexcept { return pages != 0 && pages <= kBelow >> kPageShift; }

  Result<void> open_user_channel(Hob const& hob) noexcept {
    auto const buffer = hob.payload_as<abi::MmCommBuffer>(guids::gMmCommBufferHobGuid);
    if (!buffer) {
      return fail(LoadProblem::CommBufferBad, Status::SecurityViolation, hob.offset);
    }
    return open_channel(hob, buffer->physical_start, buffer->number_of_pages, buffer->status);
  }
  Result<void> open_supervisor_channel(Hob const& hob) noexcept {
    auto const region = hob.payload_as<abi::MmCommonRegion>(guids::gMmCommonRegionHobGuid);
    if (!region || region->type != 0) {
      return fail(LoadProblem::CommBufferBad, Status::Unsupported, hob.offset);
    }
    return open_channel(hob, region->addr, region->number_of_pages, region->status_region_addr);
  }

  Result<void> open_channel(Hob const& hob, u64 base, u64 pages, u64 status) noexcept {
    Range const buffer{base, pages << kPageShift};
    Range const mailbox{align_down(status, kPageSize), kPageSize};
    bool const fit = status % kPageSize <= kPageSize - sizeof(abi::CommBufferStatus);
    if (!is_page_count(pages) || !fit || base % kPageSize != 0 || !outside_mmram(buffer) || !outside_mmram(mailbox)) {
      return fail(LoadProblem::CommBufferBad, Status::SecurityViolation, hob.offset);
    }
    // Mailboxes may share a page; a buffer shares none with anything.
    if (arena_.any_mapped(buffer) || buffer.overlaps(mailbox) || first_buffer_.overlaps(mailbox)) {
      return fail(LoadProblem::CommBufferBad, Status::SecurityViolation, hob.offset);
    }
    first_buffer_ = buffer;
    MM_TRY(arena_.map(buffer, memory::kSupervisorData));
    return arena_.map(mailbox, memory::kSupervisorData);
  }

  /// An IOMMU's registers are ring 3's to read. What cannot be mapped is left to the supervisor, which refuses it.
  Result<void> open_protected(Hob const& hob) noexcept {
    auto const named = hob.payload_as<abi::MmProtectedRegion>(guids::gMmProtectedRegionHobGuid);
    if (!named || named->type != abi::kProtectedIommu || !is_page_count(named->number_of_pages)) {
      return {};
    }
    Range const region{named->addr, named->number_of_pages << kPageShift};
    if (region.base % kPageSize != 0 || !outside_mmram(region) || arena_.any_mapped(region)) {
      return {};
    }
    return arena_.map(region, memory::kUserReadOnly);
  }

  Result<void> open_unblocked(Hob const& hob) noexcept {
    auto const params = hob.payload_as<abi::UnblockMemoryParams>(guids::gMmSupvUnblockRegionHobGuid);
    if (!params || !is_page_count(params->descriptor.number_of_pages)) {
      return fail(LoadProblem::UnblockBad, Status::InvalidParameter, hob.offset);
    }
    Range const region{params->descriptor.physical_start, params->descriptor.number_of_pages << kPageShift};
    if (region.base % kPageSize != 0 || !outside_mmram(region) || params->identifier.is_zero()) {
      return fail(LoadProblem::UnblockBad, Status::InvalidParameter, hob.offset);
    }
    if (arena_.any_mapped(region)) {
      return fail(LoadProblem::UnblockBad, Status::SecurityViolation, hob.offset);
    }
    bool const supervisor = (params->descriptor.attribute & abi::kMemorySp) != 0;
    return arena_.map(region, supervisor ? memory::kSupervisorData : memory::kUserData);
  }

  Arena<Mem>& arena_;
  Range first_buffer_;  ///< communicate buffer that was opened first
};

}  // namespace mm::loader
