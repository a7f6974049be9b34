// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>
#include <vector>

#include "tools/lab/run/machine_run.hpp"

/// The events of a run as lines of text: the transcript, which is equal on every machine.
namespace mm::lab {

/// Events in the order in which runs are compared: of each CPU within each MMI.
std::vector<hal::TraceEvent> in_order(std::vector<hal::TraceEvent> const& events);
/// One line an event; `run` names the images of addresses.
std::vector<std::string> render(Prepared const& prepared, MachineRun const& run,
                                std::vector<hal::TraceEvent> const& events);
/// render() of the whole run, in_order().
std::vector<std::string> transcript(Prepared const& prepared, MachineRun const& run);
/// One line a step.
std::vector<std::string> describe_results(Prepared const& prepared, MachineRun const& run);

}  // namespace mm::lab
