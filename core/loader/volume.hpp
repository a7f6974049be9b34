// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>

#include "core/image/fv.hpp"
#include "core/loader/hob_list.hpp"
#include "core/loader/problems.hpp"

namespace mm::loader {

/// The firmware volume as the loader sees it: which files are its own, and what of them it needs.
class Volume {
 public:
  explicit constexpr Volume(image::Bytes bytes) noexcept : bytes_(bytes) {}

  /// Offset of a part of the volume.
  u64 offset_of(image::Bytes part) const noexcept { return static_cast<u64>(part.data() - bytes_.data()); }

  static bool is_core(image::FvFile const& f) noexcept { return f.type == image::file_type::kMmCoreStandalone; }
  static bool is_driver(image::FvFile const& f) noexcept {
    return f.type == image::file_type::kMmStandalone && f.name != guids::gMmSupervisorRing3BrokerGuid;
  }
  static bool is_policy(image::FvFile const& f) noexcept {
    return f.type == image::file_type::kFreeform && f.name == guids::gMmSupervisorPolicyFileGuid;
  }

  /// Calls f(FvFile) -> Result<void> for each file, in volume order.
  template <typename F>
  Result<void> each_file(F&& f) const noexcept {
    auto const fv = image::FirmwareVolume::parse(bytes_);
    if (!fv) {
      return fail(fv.error());
    }
    image::FileWalker files = fv->files();
    for (;;) {
      auto const file = files.next();
      if (!file) {
        return fail(file.error());
      }
      if (!*file) {
        return {};
      }
      MM_TRY(f(**file));
    }
  }

  /// The first section of this type; nothing when the file has none.
  Result<std::optional<image::FvSection>> section_of(image::FvFile const& file, u8 type) const noexcept {
    auto const section = image::find_section(file.body, type);
    if (!section) {
      return fail_in(file, section.error());
    }
    return *section;
  }

  /// Whether every file and section that will be used is well-formed. Bytes that HOBs of the drivers will take.
  Result<u64> survey() const noexcept {
    u64 hob_bytes = 0;
    auto const survey_file = [&](image::FvFile const& file) -> Result<void> {
      if (!is_core(file) && !is_driver(file) && !is_policy(file)) {
        return {};
      }
      MM_TRY(check_sections(file));
      MM_TRY_ASSIGN(u64 const bytes, is_driver(file) ? survey_driver(file) : Result<u64>{0});
      hob_bytes += bytes;
      return {};
    };
    MM_TRY(each_file(survey_file));
    return hob_bytes;
  }

 private:
  std::unexpected<LoadError> fail_in(image::FvFile const& file, image::FvError e) const noexcept {
    e.offset += offset_of(file.body);
    return fail(e, file.name);
  }

  Result<void> check_sections(image::FvFile const& file) const noexcept {
    image::SectionWalker sections{file.body};
    for (;;) {
      auto const section = sections.next();
      if (!section) {
        return fail_in(file, section.error());
      }
      if (!*section) {
        return {};
      }
    }
  }

  /// A module HOB, and one with the dependency expression when there is one.
  Result<u64> survey_driver(image::FvFile const& file) const noexcept {
    MM_TRY_ASSIGN(auto const depex, section_of(file, image::section_type::kMmDepex));
    if (!depex) {
      return sizeof(abi::HobMemoryAllocationModule);
    }
    u64 const bytes = guid_hob_bytes(sizeof(abi::DepexHobData) + depex->body.size());
    if (bytes > kMaxHobBytes) {
      return fail(LoadProblem::DepexTooLarge, Status::BadBufferSize, offset_of(depex->body), file.name);
    }
    return sizeof(abi::HobMemoryAllocationModule) + bytes;
  }

  image::Bytes bytes_;
};

}  // namespace mm::loader
