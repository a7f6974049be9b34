// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/types.hpp"

/// The subcommands of mmsim. Each returns the exit code of the process.
namespace mm::runner {

enum ExitCode : int { kPassed = 0, kFailed = 1, kBadInput = 2, kEnvironment = 3, kSkipped = 77 };

struct RunOptions {
  std::vector<std::filesystem::path> paths;
  std::string target = "sim";
  u32 cpus = 0;        ///< 0: what the scenario says
  u64 seed = 0;        ///< 0: what the scenario says
  std::string defect;  ///< name of a supervisor::Check that the simulator removes; empty: none
  bool json = false;
  bool verbose = false;
  std::filesystem::path junit;
  std::filesystem::path transcript;
};

/// What `mmsim send` was asked to do.
struct SendOptions {
  std::vector<std::string> images;  ///< FILE.efi[:FILE.depex]
  std::vector<std::filesystem::path> volumes;
  std::filesystem::path policy;  ///< empty: the default
  std::string to;                ///< name or GUID
  std::string hex, text;
  std::filesystem::path file, messages;
  std::string channel;  ///< empty: user, but supervisor for the supervisor's own requests
  u32 cpus = 1;
  std::string fault_policy = "contain";
  std::string target = "sim";
  bool json = false;
  bool verbose = false;
};

/// MM_IMAGES, else ../../images beside the executable.
std::filesystem::path images_folder();
int run_command(RunOptions const& options);
int doctor_command(bool json, bool verbose);
/// Boots one machine with the images, sends the message (or every message of a file) and prints what comes back.
int send_command(SendOptions const& options);
/// Lists what is in volumes, flash images and PE images.
int images_command(std::vector<std::filesystem::path> const& files, bool json);
int bench_command(bool json);

struct FuzzOptions {
  std::string target;
  u32 seconds = 60;
  u32 jobs = 1;
  std::filesystem::path corpus;  ///< empty: a folder of the build
};
/// Runs libFuzzer on one target; kFailed when it found something.
int fuzz_command(FuzzOptions const& options);
/// The libFuzzer program of `target`, when it is built; else how to build it.
std::optional<std::filesystem::path> fuzz_program(std::string const& target);
std::string fuzz_build_hint(std::string const& target);

struct ReproOptions {
  std::filesystem::path file;
  std::string kind;  ///< communicate, image or policy; empty: the start of the file's name
  std::string target = "sim";
};
/// Runs one fuzzer input again; kFailed when what must hold does not.
int repro_command(ReproOptions const& options);

}  // namespace mm::runner
