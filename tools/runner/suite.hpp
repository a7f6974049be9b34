// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/types.hpp"
#include "tools/runner/report.hpp"

/// Many scenarios in one call of mmsim: which, how many at once, and when to stop.
namespace mm::runner {

struct SuiteOptions {
  u32 jobs = 1;            ///< scenarios at once; 0: one for each CPU of the host
  bool fail_fast = false;  ///< none is started behind the first that failed
  bool progress = false;   ///< a line on standard error, when that is a terminal
};

/// Runs `run(file)` for each file, on threads of their own when there are several jobs, and calls `told` with each
/// outcome in the order of the files, on the calling thread. Gives the outcomes in that order; with `fail_fast` those
/// of the files that were started. `run` is called by several threads at once.
std::vector<Outcome> run_suite(std::vector<std::filesystem::path> const& files, SuiteOptions const& options,
                               std::function<Outcome(std::filesystem::path const&)> const& run,
                               std::function<void(Outcome const&)> const& told);

/// The files whose path contains `pattern`; all when it is empty.
std::vector<std::filesystem::path> chosen_files(std::vector<std::filesystem::path> files, std::string const& pattern);

}  // namespace mm::runner
