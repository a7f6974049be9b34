// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <string>

#include "tools/lab/fuzzing/driver_case.hpp"
#include "tools/runner/fuzz/options.hpp"

namespace mm::runner {

/// Where a session of `mmsim fuzz driver` keeps things.
struct DriverPlaces {
  std::filesystem::path corpus;
  std::filesystem::path findings;    ///< with the case
  std::filesystem::path fresh;       ///< what the fuzzer leaves; below findings
  std::filesystem::path seeds;       ///< below findings
  std::filesystem::path dictionary;  ///< below findings
};

/// A session that can begin: its folders are made, its machine has booted once, its seeds are written.
struct PreparedSession {
  DriverPlaces places;
  lab::DriverSession session;
  std::string name;                ///< of the machine
  std::vector<std::string> notes;  ///< for the user: drivers that do not run
};

/// Error: a sentence about the input, nothing was fuzzed.
std::expected<PreparedSession, std::string> prepare_session(FuzzOptions const& options,
                                                            DriverFuzzOptions const& driver);

}  // namespace mm::runner
