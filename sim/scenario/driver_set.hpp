// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <string>
#include <vector>

#include "sim/scenario/driver_report.hpp"
#include "sim/scenario/volume_listing.hpp"

namespace mm::scenario {

/// Drivers to be run, and those that are not.
struct DriverSet {
  std::vector<ImageSpec> images;
  std::vector<DriverReport> not_run;
  Losses
      losses;  ///< of the volumes: why there may be drivers that are in neither list. Each begins with the file's path
};

/// Adds FILE.efi or FILE.efi:FILE.depex. The file's GUID is in FILE.guid beside it, else made from its name. A core, a
/// broker or a CPU driver, which ours stand for, goes to `not_run`. Error: a sentence; the image cannot be read, is
/// refused, or is an application.
std::expected<void, std::string> add_image(DriverSet& set, std::string const& argument);
/// Adds the standalone MM drivers of a volume in its order; the others go to `not_run`, so do drivers that are refused,
/// damaged, or superseded by another file of their name.
void add_volume(DriverSet& set, Listing const& listing);
/// The same for a volume, flash image or .ffs file. Error: "file: why"; it cannot be read, or is none of these.
std::expected<void, std::string> add_volume_file(DriverSet& set, std::filesystem::path const& file);

}  // namespace mm::scenario
