// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/scenario/driver_set.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/abi/guids.hpp"
#include "core/image/fv.hpp"
#include "sim/scenario/depex_file.hpp"
#include "sim/scenario/precheck.hpp"

namespace mm::scenario {
namespace {

namespace fs = std::filesystem;

/// Why the host refuses an image, nothing when it does not.
std::optional<std::string> refusal(std::span<std::byte const> image) {
  auto const listed = describe_image(image);
  if (!listed.loadable) {
    return "malformed image: " + listed.problem;
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

std::string display_name(ListedFile const& f) { return f.ui.empty() ? format_guid(f.name) : f.ui; }

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
  if (auto const why = refusal(*image.content)) {
    return std::unexpected(fmt::format("{}: refused: {}", image.file.string(), *why));
  }
  set.images.push_back(std::move(image));
  return {};
}

void add_volume(DriverSet& set, Listing const& listing) {
  for_each_file(listing.volumes, [&set](ListedFile const& f) {
    if (!f.volumes.empty()) {
      return;  // only a container
    }
    bool const core = f.type == image::file_type::kMmCoreStandalone;
    bool const part = f.name == guids::gMmSupervisorRing3BrokerGuid || f.name == guids::gMmSupervisorCoreGuid ||
                      f.name == guids::gMmSupervisorUserGuid || f.name == guids::gMmSupervisorInitGuid;
    DriverReport report{display_name(f), f.name, {}, file_type_name(f.type)};
    bool const again = std::ranges::find(set.images, f.name, &ImageSpec::guid) != set.images.end();
    if (core || part) {
      report.state = "replaced by ours";
    } else if (again && f.type == image::file_type::kMmStandalone) {
      report.state = "not run";
      report.detail = "(a second copy of this file)";
    } else if (f.type != image::file_type::kMmStandalone) {
      report.state = "not run";
      report.detail = f.apriori.empty() ? report.detail : "(a-priori list, not honoured)";
    } else if (!f.image || f.pe.empty()) {
      report.state = "refused";
      report.detail = f.problems.empty() ? "no PE32 section" : f.problems.front();
    } else if (auto const why = refusal(f.pe)) {
      report.state = "refused";
      report.detail = *why;
    } else {
      ImageSpec image;
      image.name = report.name;
      image.guid = f.name;
      image.file = report.name;
      image.content = Bytes{f.pe.begin(), f.pe.end()};
      if (f.depex) {
        image.depex_content = Bytes{f.depex->begin(), f.depex->end()};
      }
      set.images.push_back(std::move(image));
      return;
    }
    set.not_run.push_back(std::move(report));
  });
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
  add_volume(set, *listing);
  return {};
}

}  // namespace mm::scenario
