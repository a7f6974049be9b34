// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scenario/driver_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <ranges>

#include "core/abi/guids.hpp"
#include "core/image/fv.hpp"
#include "tools/lab/firmware/depex_file.hpp"
#include "tools/lab/firmware/precheck.hpp"

namespace mm::lab {
namespace {

namespace fs = std::filesystem;

constexpr u16 kApplication = 10;  ///< IMAGE_SUBSYSTEM_EFI_APPLICATION

/// Why the host refuses an image, nothing when it does not.
std::optional<std::string> refusal(std::span<std::byte const> image) {
  auto const listed = describe_image(image);
  if (!listed.loadable) {
    return "malformed image: " + listed.problem;
  }
  if (listed.subsystem == kApplication) {
    return "an EFI application and not a driver: MM dispatches drivers (subsystem 11 or 12)";
  }
  auto const found = check_image(image);
  if (!found) {
    return found.error();
  }
  if (found->rsm_at_boundary) {
    return fmt::format("RSM instruction at image offset {}", hex_number(*found->rsm_at_boundary));
  }
  return std::nullopt;
}

/// Modules that ours stand for: cores, the broker, the drivers of MM entry and CPUs. Names as in edk2, mu and PI.
bool is_replaced(Guid const& guid, std::string_view name) {
  constexpr std::array kGuids{guids::gMmSupervisorRing3BrokerGuid, guids::gMmSupervisorCoreGuid,
                              guids::gMmSupervisorUserGuid, guids::gMmSupervisorInitGuid,
                              "A3FF0EF5-0C28-42F5-B544-8C7DE1E80014"_guid};  // PiSmmCpuDxeSmm
  constexpr std::array<std::string_view, 10> kNames{
      "MmSupervisorCore", "MmUserCore", "MmSupervisorRing3Broker", "MmSupervisorInit",     "StandaloneMmCore",
      "PiSmmCore",        "PiSmmIpl",   "PiSmmCpuDxeSmm",          "PiSmmCpuStandaloneMm", "StandaloneMmIpl"};
  return std::ranges::find(kGuids, guid) != kGuids.end() || std::ranges::find(kNames, name) != kNames.end();
}

/// Why a driver of a volume is not run, nothing when it is.
std::optional<std::string> refusal_in_volume(ListedFile const& f) {
  if (f.damaged) {
    return f.problems.front();
  }
  if (!f.image || f.pe.empty()) {
    return f.problems.empty() ? "no PE32 section" : f.problems.front();
  }
  return refusal(f.pe);
}

std::string display_name(ListedFile const& f) { return f.ui.empty() ? format_guid(f.name) : f.ui; }

ImageSpec image_of(ListedFile const& f) {
  ImageSpec image;
  image.name = display_name(f);
  image.guid = f.name;
  image.file = image.name;
  image.content = Bytes{f.pe.begin(), f.pe.end()};
  if (f.depex) {
    image.depex_content = Bytes{f.depex->begin(), f.depex->end()};
  }
  return image;
}

}  // namespace

std::expected<void, std::string> add_image(DriverSet& set, std::string const& argument) {
  auto const colon = argument.rfind(':');
  bool const split = colon != std::string::npos && !fs::exists(argument);
  ImageSpec image;
  image.file = split ? argument.substr(0, colon) : argument;
  image.name = image.file.stem().string();
  MM_TRY_ASSIGN(image.content, read_file(image.file));
  if (split && colon + 1 == argument.size()) {
    return std::unexpected(argument + ": no depex file behind the colon");
  }
  if (split) {
    MM_TRY_ASSIGN(image.depex_content, read_depex_file(argument.substr(colon + 1)));
  }
  image.guid = guid_of_image(image.file, image.name);
  if (auto const listing = list_images(*image.content); listing && !listing->image) {
    return std::unexpected(
        fmt::format("{}: a {} and not an image: give it with --fv", image.file.string(), listing->kind));
  }
  if (is_replaced(image.guid, image.name)) {
    set.not_run.push_back({image.name, image.guid, "replaced by ours", {}});
    return {};
  }
  if (auto const why = refusal(*image.content)) {
    return std::unexpected(fmt::format("{}: refused: {}", image.file.string(), *why));
  }
  set.images.push_back(std::move(image));
  return {};
}

void add_volume(DriverSet& set, Listing const& listing) {
  for_each_file(listing.volumes, [&set](ListedFile const& f) {
    bool const driver = f.type == image::file_type::kMmStandalone;
    if (!f.volumes.empty() && !driver) {
      return;  // only a container
    }
    DriverReport report{display_name(f), f.name, "not run", file_type_name(f.type)};
    bool const again = std::ranges::find(set.images, f.name, &ImageSpec::guid) != set.images.end();
    if (f.type == image::file_type::kMmCoreStandalone || is_replaced(f.name, f.ui)) {
      report.state = "replaced by ours";
    } else if (!driver) {
      report.detail = f.apriori.empty() ? report.detail : "(a-priori list, not honoured)";
    } else if (f.superseded_by) {
      report.detail = fmt::format("(marked for update, and the file at {:#x} takes its place)", *f.superseded_by);
    } else if (again) {
      report.detail = "(a second copy of this file)";
    } else if (auto const why = refusal_in_volume(f)) {
      report.state = "refused";
      report.detail = *why;
    } else {
      set.images.push_back(image_of(f));
      return;
    }
    set.not_run.push_back(std::move(report));
  });
  auto losses = losses_of(listing);
  std::ranges::move(losses.damage, std::back_inserter(set.losses.damage));
  std::ranges::move(losses.not_opened, std::back_inserter(set.losses.not_opened));
}

std::expected<void, std::string> add_volume_file(DriverSet& set, fs::path const& file) {
  MM_TRY_ASSIGN(auto const bytes, read_file(file));
  auto const listing = list_images(bytes);
  if (!listing) {
    return std::unexpected(fmt::format("{}: {}", file.string(), listing.error()));
  }
  if (listing->image) {
    return std::unexpected(
        fmt::format("{}: an image and not a volume: give it with --image, in a scenario as path", file.string()));
  }
  std::size_t const damage = set.losses.damage.size();
  std::size_t const not_opened = set.losses.not_opened.size();
  add_volume(set, *listing);
  for (auto& text : set.losses.damage | std::views::drop(damage)) {
    text = file.string() + ": " + text;
  }
  for (auto& text : set.losses.not_opened | std::views::drop(not_opened)) {
    text = file.string() + ": " + text;
  }
  return {};
}

}  // namespace mm::lab
