// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>
#include <vector>

#include "sim/devices/windows.hpp"
#include "sim/engine/block_log.hpp"
#include "sim/machine/stack_log.hpp"

namespace mm::lab {

/// What only the simulator sees of a run.
struct Witness {
  std::vector<std::string> stale;       ///< ring 3 was entered with a TLB older than the tables
  std::vector<sim::Ring3Stack> stacks;  ///< at faults, in the order of the trace
  std::vector<sim::DeviceLog> devices;  ///< of the scenario that are registers
  std::vector<sim::BlockCount> blocks;  ///< of ring 3, ascending; only when they were asked for (Prepared::coverage)
};

}  // namespace mm::lab
