// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/lab/run/machine_run.hpp"

/// Whether a run was as its scenario expects.
namespace mm::lab {

/// One expectation that did not hold.
struct Problem {
  std::string text;                 ///< one sentence that says it all
  std::optional<std::size_t> step;  ///< index into Scenario::steps; none: about the whole run
  int line = 0;                     ///< of the expectation in the scenario file; 0: the file does not mention it
  std::string what;                 ///< status, size, halt ...
  std::string expected;
  std::string actual;
};
/// What was not as expected, in order; empty = passed.
std::vector<Problem> check(Prepared const& prepared, MachineRun const& run);

}  // namespace mm::lab
