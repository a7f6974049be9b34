// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/boot.hpp"
#include "core/loader/hob_list.hpp"
#include "core/loader/problems.hpp"

namespace mm::loader {

/// The normal world's HOB list: what of it the MM list repeats, and what it says of MSEG.
class BootList {
 public:
  explicit constexpr BootList(image::Bytes bytes) noexcept : bytes_(bytes) {}

  /// Calls f(Hob) -> Result<void> for each HOB before END. HobTruncated, HobLength.
  template <typename F>
  Result<void> each(F&& f) const noexcept {
    HobWalker hobs{bytes_};
    for (;;) {
      auto const hob = hobs.next();
      if (!hob) {
        return std::unexpected(hob.error());
      }
      if (!*hob) {
        return {};
      }
      MM_TRY(f(**hob));
    }
  }

  /// MMRAM and MP information are written anew; module HOBs under the supervisor's names would be taken for ours.
  static bool is_copied(Hob const& hob) noexcept {
    if (auto const module = hob.as<abi::HobMemoryAllocationModule>(abi::HobType::MemoryAllocation)) {
      return module->name != guids::gMmSupervisorHobMemoryAllocModuleGuid;
    }
    return hob.type != abi::HobType::Unused && !hob.is_guid(guids::gEfiMmPeiMmramMemoryReserveGuid) &&
           !hob.is_guid(guids::gEfiSmmSmramMemoryGuid) && !hob.is_guid(guids::gMpInformationHobGuid) &&
           !hob.is_guid(guids::gMmSupervisorPassDownHobGuid) && !hob.is_guid(guids::gMmSupervisorDepexHobGuid) &&
           !hob.is_guid(abi::kTestOptionsHobGuid);
  }

  /// Whether the list is well-formed; the bytes of what is copied. HobNoHandoff besides what each() says.
  Result<u64> survey() const noexcept {
    if (image::load_le<u16>(bytes_, 0) != static_cast<u16>(abi::HobType::Handoff)) {
      return fail(LoadProblem::HobNoHandoff, Status::CompromisedData);
    }
    u64 bytes = 0;
    MM_TRY(each([&bytes](Hob const& hob) -> Result<void> {
      bytes += is_copied(hob) ? hob.bytes.size() : 0;
      return {};
    }));
    return bytes;
  }

  /// MSEG ends MMRAM, and is not for allocation. Empty: there is none. One that is malformed counts as none, as for the
  /// supervisor, which also refuses a second one. BadMseg: it does not end `mmram`, or leaves nothing above `taken`.
  Result<Range> find_mseg(Range mmram, u64 taken) const noexcept {
    Range found;
    MM_TRY(each([&](Hob const& hob) -> Result<void> {
      auto const d = hob.payload_as<abi::MmramDescriptor>(guids::gMsegSmramGuid);
      if (!d || found.size != 0) {
        return {};
      }
      Range const range{d->cpu_start, d->physical_size};
      if ((range.base | range.size) % kPageSize != 0 || range.size == 0 || !mmram.contains(range)) {
        return {};
      }
      if (range.end() != mmram.end() || range.base <= taken) {
        return fail(LoadProblem::BadMseg, Status::InvalidParameter, hob.offset);
      }
      found = range;
      return {};
    }));
    return found;
  }

 private:
  image::Bytes bytes_;
};

}  // namespace mm::loader
