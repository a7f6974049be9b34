// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "tools/lab/tell/interfaces.hpp"
#include "tools/runner/machine_options.hpp"

/// What the drivers of a machine answer to: `mmsim send --list`, `mmsim images --handlers`.
namespace mm::runner {

struct Interfaces {
  std::vector<lab::DriverInterface> drivers;
  lab::DriverSet given;  ///< with those that were not run
};
/// Boots the machine in the simulator, sends nothing, and looks. Error: a sentence; what was given is malformed, or the
/// machine halts before the first message.
std::expected<Interfaces, std::string> find_interfaces(MachineOptions const& machine);

/// Prints them, as text or as one JSON object. The exit code: kFailed when a driver faulted or none was dispatched.
int print_interfaces(Interfaces const& found, bool json);

}  // namespace mm::runner
