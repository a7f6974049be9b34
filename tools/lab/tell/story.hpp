// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "tools/lab/judge/check.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"

/// What happened in a run, step by step, in words.
namespace mm::lab {

/// One [[step]] of the scenario.
struct StepStory {
  std::size_t number = 0;  ///< from 1
  std::string kind;
  std::string title;  ///< empty: the scenario gives none
  int line = 0;
  std::string sent;
  bool answered = false;  ///< false: the machine stopped before, or in this step
  std::string status;     ///< empty: this kind of step has none
  std::string reply;
  StepOutcome const* result = nullptr;  ///< of the MachineRun
  std::vector<hal::TraceEvent> events;  ///< from the end of the step before to the end of this one
};

/// The steps up to the one in which the machine stopped. Points into `run`.
std::vector<StepStory> tell(Prepared const& prepared, MachineRun const& run);
/// Events before the first step: boot, and the start of the drivers.
std::vector<hal::TraceEvent> events_before_steps(Prepared const& prepared, MachineRun const& run);

/// What a reader may do about a problem; empty: nothing that is not in the problem itself.
std::string advice(Prepared const& prepared, MachineRun const& run, Problem const& problem);

}  // namespace mm::lab
