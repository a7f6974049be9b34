// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/types.hpp"
#include "tools/runner/machine_options.hpp"

namespace mm::runner {

/// What `mmsim fuzz` was asked to do.
struct FuzzOptions {
  std::string target;
  u32 seconds = 60;  ///< 0: no limit
  u64 runs = 0;      ///< executions; 0: no limit
  u32 seed = 0;      ///< 0: a new one each time
  u32 jobs = 1;
  bool fast = false;               ///< the program without sanitizers
  bool keep_going = false;         ///< do not end at the first finding
  std::filesystem::path corpus;    ///< empty: a folder below build/
  std::filesystem::path findings;  ///< empty: a folder below build/
  std::string defect;              ///< one that the target plants, for tests; empty: none
};

/// What only `mmsim fuzz driver` takes.
struct DriverFuzzOptions {
  MachineOptions machine;
  std::filesystem::path scenario;    ///< instead of `machine`; empty: none
  std::vector<std::string> to;       ///< names or GUIDs; empty: every handler that was registered
  std::filesystem::path seeds;       ///< empty: none
  std::filesystem::path dictionary;  ///< empty: none
  u64 max_len = 4096;                ///< bytes of a message
  u64 max_messages = 8;              ///< of an input
  std::vector<std::string> allow;    ///< oracles that are off
  bool no_heap_guard = false;
  bool no_qemu = false;
  bool json = false;
  std::filesystem::path coverage;  ///< folder; empty: not wanted
  std::filesystem::path sarif;     ///< empty: not wanted
  std::filesystem::path junit;     ///< empty: not wanted
  friend bool operator==(DriverFuzzOptions const&, DriverFuzzOptions const&) = default;
};

/// Exit code of libFuzzer after SIGINT.
inline constexpr int kInterruptedCode = 72;

/// build/fuzz, where what fuzzers learn stays.
std::filesystem::path fuzz_home();
/// Makes a folder that can be written, with those above it. Error: a sentence.
std::expected<void, std::string> make_folder(std::filesystem::path const& folder);

/// Fuzzes the drivers of a machine; kFailed when it found something.
int fuzz_driver_command(FuzzOptions const& options, DriverFuzzOptions const& driver);

}  // namespace mm::runner
