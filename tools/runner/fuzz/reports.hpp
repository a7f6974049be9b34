// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tools/runner/fuzz/driver_findings.hpp"

/// What `mmsim fuzz driver` found, for programs that read the reports of many tools.
namespace mm::runner {

struct DriverReport {
  std::string machine;                             ///< its name
  std::string summary;                             ///< one line about the session
  std::span<ToldFinding const> findings;           ///< of the drivers
  std::span<std::filesystem::path const> crashes;  ///< inputs that broke what runs the drivers
};

/// SARIF 2.1.0: a rule for each oracle, a result for each finding, at its line where it is known, else at its image.
std::string driver_sarif(DriverReport const& report);
/// JUnit: a failed test case for each finding, one in error for each crash; nothing found: one that passed.
std::string driver_junit(DriverReport const& report);

/// Writes the text to `file`; nothing, when it is empty. Error: a sentence.
std::expected<void, std::string> write_report(std::filesystem::path const& file, std::string const& text);

}  // namespace mm::runner
