// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <vector>

#include "tools/lab/policy_advice/learn.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"

namespace mm::lab {

/// Every access of ring 3 that the policy decides, in the order of the run, with the driver that made it: from the
/// system calls of the trace and the notes of the user core. Raw instructions fault and are not among them.
std::vector<policy_tools::Need> recorded_accesses(Prepared const& prepared, MachineRun const& run);

}  // namespace mm::lab
