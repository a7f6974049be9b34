// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/scenario/run.hpp"

namespace mm::scenario {

std::optional<std::string> sim_unavailable() { return "this mmsim was built without the simulator"; }
std::expected<MachineRun, std::string> run_on_sim(Prepared const&) { return std::unexpected(*sim_unavailable()); }

}  // namespace mm::scenario
