// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>
#include <vector>

#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/scenario/driver_set.hpp"

namespace mm::lab {

/// What the drivers of `prepared` did, in their order.
std::vector<DriverReport> report_drivers(Prepared const& prepared, MachineRun const& run);

/// The dispatch order, each driver that was not dispatched with what it waits for, and each that failed: one line each.
std::vector<std::string> describe_dispatch(std::vector<DriverReport> const& reports);

}  // namespace mm::lab
