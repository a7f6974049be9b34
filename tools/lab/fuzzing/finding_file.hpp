// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <optional>
#include <string>

#include "tools/lab/fuzzing/driver_case.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/symbols/symbolizer.hpp"

/// A finding of `mmsim fuzz driver` as a result: a scenario that passes while the defect is there.
namespace mm::lab {

/// The scenario: the machine of the case, the messages, and what shows the defect. Nothing: no scenario can expect it.
std::optional<std::string> finding_toml(std::string const& machine_toml, Prepared const& prepared,
                                        DriverSession const& session, DriverFinding const& finding,
                                        std::span<DriverMessage const> messages);

/// The scenario without a finding: the machine of the case and the messages, one step each, and `rest` behind them.
std::string messages_toml(std::string const& machine_toml, std::string const& name, DriverSession const& session,
                          std::span<DriverMessage const> messages, std::string const& rest);

/// What a run of prepare_case() with messages shows: the first finding, and the message in which it is, from 0.
struct RunFinding {
  DriverFinding finding;
  std::size_t message = 0;
};
std::optional<RunFinding> finding_of(Prepared const& prepared, MachineRun const& run, std::size_t messages,
                                     OracleSet allowed);

/// The code at a finding, innermost function first; empty: nothing is known of it.
std::vector<CodeFrame> place_frames(Prepared const& prepared, DriverFinding const& finding);
/// Where a finding is: "Weak+0x1a2c (handle+0x14)", with the function where the linker's map is beside the image.
std::string place_text(Prepared const& prepared, DriverFinding const& finding);

}  // namespace mm::lab
