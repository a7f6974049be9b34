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
  std::filesystem::path work;        ///< of this process alone; below findings, and gone at the end
  std::filesystem::path fresh;       ///< what the fuzzer leaves; below work
  std::filesystem::path seeds;       ///< below work
  std::filesystem::path dictionary;  ///< below work
  std::filesystem::path log;         ///< below work; it becomes log.txt of the findings
};

/// A session that can begin: its folders are made, its machine has booted once, its seeds are written.
struct PreparedSession {
  DriverPlaces places;
  lab::DriverSession session;
  std::string name;                ///< of the machine
  std::vector<std::string> notes;  ///< for the user: drivers that do not run
};

/// Several sessions may have one corpus and one folder of findings. What a session left that was killed becomes part of
/// the corpus. Error: a sentence about the input, nothing was fuzzed.
std::expected<PreparedSession, std::string> prepare_session(FuzzOptions const& options,
                                                            DriverFuzzOptions const& driver);

}  // namespace mm::runner
