// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <span>
#include <string>
#include <vector>

#include "tools/lab/policy_advice/learn.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/scenario/driver_set.hpp"

/// What drivers answer to, and what they used to get there.
namespace mm::lab {

/// An MMI handler that a driver registered.
struct MmiHandler {
  Guid type;      ///< that it was registered for; zero: a root handler
  u64 image = 0;  ///< base of the image that owns it
};
/// Those of a trace that are still there, in the order of registration: what a driver registered goes with it when it
/// faults.
std::vector<MmiHandler> mmi_handlers(std::span<hal::TraceEvent const> trace);

struct DriverInterface {
  DriverReport report;
  std::vector<Guid> handlers;                  ///< of MMIs, in the order of registration; zero: a root handler
  std::vector<policy_tools::Access> accesses;  ///< of its entry point and before the first message, each once
};

/// The drivers of a run with a trace, in the order of the scenario. Raw instructions are not among the accesses: they
/// fault.
std::vector<DriverInterface> driver_interfaces(Prepared const& prepared, MachineRun const& run);

/// For people: a head line, and one for each thing that is known.
std::vector<std::string> describe(DriverInterface const& driver);

/// The one handler of the driver of this name, in any case. Error: a sentence; there is no such driver, or it has none
/// or several, which are named.
std::expected<Guid, std::string> only_handler(std::vector<DriverInterface> const& drivers, std::string const& name);

}  // namespace mm::lab
