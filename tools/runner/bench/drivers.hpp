// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <string>

/// The measurements of `mmsim bench` about ring 3 itself: dispatch, pool, variables. On the simulator.
namespace mm::runner {

struct DriverFigures {
  double dispatch_500_ms = 0;   ///< 500 drivers in a chain of dependencies, last link first in the volume
  double dispatch_1000_ms = 0;  ///< the same with 1,000
  double pool_ms = 0;           ///< 100,000 pool allocations and frees in one MMI
  double get_variable_per_second = 0;
};

/// Every reply is checked. Error: a sentence.
std::expected<DriverFigures, std::string> measure_drivers(std::filesystem::path const& images);

}  // namespace mm::runner
