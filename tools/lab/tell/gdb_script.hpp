// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <filesystem>
#include <string>

#include "tools/lab/run/machine_run.hpp"

namespace mm::lab {

/// Commands for gdb: the symbols of every image at the addresses at which `run` loaded it, `$Name` as its base, and a
/// connection to the machine behind `socket`. Images without DWARF, which is what gdb reads, have `$Name` alone.
std::string gdb_script(Prepared const& prepared, MachineRun const& run, std::filesystem::path const& socket);

}  // namespace mm::lab
