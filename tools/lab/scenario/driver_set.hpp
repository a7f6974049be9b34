// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <string>
#include <vector>

#include "tools/lab/firmware/volume_listing.hpp"
#include "tools/lab/scenario/scenario.hpp"

namespace mm::lab {

/// What became of one driver, or why it was not run.
struct DriverReport {
  std::string name;
  Guid guid;
  std::string
      state;  ///< "started", "error", "faulted", "waiting", "refused", "not run", "replaced by ours", "not loaded"
  std::string detail;                  ///< status, fault, missing GUIDs, reason
  u32 order = 0;                       ///< place in the dispatch order from 1; 0: its entry point was not called
  std::vector<Guid> needs{};           ///< of a waiting driver: protocols that are missing, or the file it names
  std::vector<std::string> callers{};  ///< of a faulted driver: who called the code that faulted, innermost first
};

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

}  // namespace mm::lab
