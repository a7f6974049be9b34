// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>

#include "sim/engine/fidelity.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"

/// One scenario, two machines: are the transcripts the same?
namespace mm::lab {

/// A difference that the fidelity list declares, where it was seen.
struct DeclaredDifference {
  std::string_view id;
  std::string sim;
  std::string machine;
};

/// The first line in which the machines differ and nothing declares it.
struct Difference {
  std::string in;                   ///< "event" or "step"
  std::size_t number = 0;           ///< of that line, from 1
  std::vector<std::string> before;  ///< a few lines that are the same
  std::string sim;                  ///< empty: the simulator has no more
  std::string machine;
  std::vector<std::string> sim_after, machine_after;
};

struct Comparison {
  std::vector<DeclaredDifference> declared;
  std::optional<Difference> difference;
};

/// Compares the results of the steps, then the events.
Comparison compare(Prepared const& prepared, MachineRun const& sim, MachineRun const& machine,
                   std::span<sim::FidelityGap const> gaps = sim::kFidelityGaps);

}  // namespace mm::lab
