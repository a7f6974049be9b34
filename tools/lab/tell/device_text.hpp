// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>
#include <vector>

#include "tools/lab/run/machine_run.hpp"

namespace mm::lab {

/// What was asked of the scenario's devices, a line an access: "spi: read 4 bytes at +0x4: 0xc001". At most `most` of
/// each device, and how many more there were.
std::vector<std::string> device_lines(MachineRun const& run, std::size_t most = 256);

}  // namespace mm::lab
