// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/types.hpp"

/// The subcommands of mmsim. Each returns the exit code of the process.
namespace mm::runner {

enum ExitCode : int { kPassed = 0, kFailed = 1, kBadInput = 2, kEnvironment = 3, kSkipped = 77 };

struct RunOptions {
  std::vector<std::filesystem::path> paths;
  std::string target = "sim";
  u32 cpus = 0;  ///< 0: what the scenario says
  u64 seed = 0;  ///< 0: what the scenario says
  std::string defect;  ///< name of a supervisor::Check that the simulator removes; empty: none
  bool json = false;
  bool verbose = false;
  std::filesystem::path junit;
  std::filesystem::path transcript;
};

/// MM_IMAGES, else ../../images beside the executable.
std::filesystem::path images_folder();
int run_command(RunOptions const& options);
int doctor_command(bool json);
int bench_command(bool json);

}  // namespace mm::runner
