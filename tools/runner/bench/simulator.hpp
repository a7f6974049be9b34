// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "tools/runner/bench/machine.hpp"
#include "tools/runner/bench/rows.hpp"

/// The measurements of `mmsim bench` inside the simulator: nothing of mmsim but a machine in a loop.
namespace mm::runner::bench {

/// So many MMIs, machines and resets is each figure the median of.
inline constexpr u32 kMmis = 20'000;
inline constexpr u32 kMachines = 15;
inline constexpr u32 kResets = 500;

/// Every reply is checked. Error: a sentence.
Result<std::vector<Row>> simulator_rows(std::filesystem::path const& images);

}  // namespace mm::runner::bench
