// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>
#include <vector>

#include "sim/scenario/scenario.hpp"

namespace mm::scenario {

struct Prepared;
struct MachineRun;

/// What became of one driver, or why it was not run.
struct DriverReport {
  std::string name;
  Guid guid;
  std::string
      state;  ///< "started", "error", "faulted", "waiting", "refused", "not run", "replaced by ours", "not loaded"
  std::string detail;         ///< status, fault, missing GUIDs, reason
  u32 order = 0;              ///< place in the dispatch order from 1; 0: its entry point was not called
  std::vector<Guid> needs{};  ///< of a waiting driver: protocols that are missing, or the file it names
};

/// What the drivers of `prepared` did, in their order.
std::vector<DriverReport> report_drivers(Prepared const& prepared, MachineRun const& run);

/// The dispatch order, each driver that was not dispatched with what it waits for, and each that failed: one line each.
std::vector<std::string> describe_dispatch(std::vector<DriverReport> const& reports);

}  // namespace mm::scenario
