// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/runner/arguments.hpp"

namespace mm::runner {

/// Which core QEMU runs, and on how many threads of the host.
struct QemuOptions {
  bool release = false;
  std::string threads = "single";

  bool any() const { return release || threads != "single"; }
};

/// Adds --release and --qemu-threads to a command that runs machines.
void add_qemu_options(Arguments command, QemuOptions& options);
/// Makes `target` the machine that the options leave, which is what it was when they say nothing. False, and a sentence
/// on standard error: the two contradict each other. `was_given`: it was on the command line.
bool settle_target(QemuOptions const& options, std::string& target, bool was_given);
/// Before prepare(). Error: a sentence, the scenario has no place for the release core.
std::expected<void, std::string> choose_core(QemuOptions const& options, lab::Scenario& scenario);
/// Behind prepare().
void apply(QemuOptions const& options, lab::Prepared& prepared);

/// A run on QEMU. With a host thread for each CPU, one that the host did not serve in time looks like one that does not
/// come: such a run is repeated, at most kRepetitions times, and each repetition leaves a line in `owed`.
inline constexpr unsigned kRepetitions = 2;
std::expected<lab::MachineRun, std::string> run_and_repeat(lab::Prepared const& prepared,
                                                           std::vector<std::string>& owed);

}  // namespace mm::runner
