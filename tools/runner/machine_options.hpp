// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tools/lab/scenario/devices.hpp"
#include "tools/lab/scenario/driver_set.hpp"
#include "tools/lab/scenario/hobs.hpp"
#include "tools/runner/arguments.hpp"

namespace mm::runner {

/// A machine on the command line: what `mmsim send` and `mmsim fuzz driver` boot.
struct MachineOptions {
  std::vector<std::string> images;  ///< FILE.efi[:FILE.depex]
  std::vector<std::filesystem::path> volumes;
  std::vector<std::string> hobs;  ///< GUID:HEX or GUID:FILE
  std::filesystem::path policy;   ///< empty: the default
  std::string flash;              ///< FILE or BYTES, and @BASE; empty: none
  bool platform = false;          ///< with the platform drivers of this tree
  u32 cpus = 1;

  friend bool operator==(MachineOptions const&, MachineOptions const&) = default;
  /// Whether anything was said about drivers, HOBs, devices or the policy.
  bool any() const {
    return !images.empty() || !volumes.empty() || !hobs.empty() || !policy.empty() || !flash.empty() || platform;
  }
};

/// Adds --image, --fv, --hob, --policy, --flash, --platform and --cpus.
void add_machine_options(Arguments command, MachineOptions& options);

/// The drivers of images and volumes. Error: a sentence with the file.
std::expected<lab::DriverSet, std::string> drivers_of(MachineOptions const& options);
/// Error: a sentence.
std::expected<std::vector<lab::PlatformHob>, std::string> hobs_of(MachineOptions const& options);
/// Nothing without --flash. Error: a sentence.
std::expected<std::optional<lab::DeviceSpec>, std::string> flash_of(MachineOptions const& options);
/// The blob of a source or a blob; the default without one. Error: a sentence with the file.
std::expected<lab::Bytes, std::string> policy_of(MachineOptions const& options);

/// The machine with its drivers, HOBs and policy, and no steps. Error: a sentence.
struct GivenMachine {
  lab::Scenario scenario;
  lab::DriverSet drivers;  ///< with those that are not run
};
std::expected<GivenMachine, std::string> machine_of(MachineOptions const& options, std::string const& name);

}  // namespace mm::runner
