// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <expected>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/types.hpp"

namespace CLI {
class App;
}

/// The sub-commands of mmsim, and what they share.
namespace mm::runner {

enum ExitCode : int { kPassed = 0, kFailed = 1, kBadInput = 2, kEnvironment = 3, kSkipped = 77 };

/// A sub-command that has been added to the program's options: run() when app->parsed(). It returns the exit code of
/// the process.
struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;
};
Command add_audit_command(CLI::App& app);
Command add_bench_command(CLI::App& app);
Command add_doctor_command(CLI::App& app);
Command add_fuzz_command(CLI::App& app);
Command add_images_command(CLI::App& app);
Command add_linux_command(CLI::App& app);
Command add_policy_command(CLI::App& app);
Command add_repro_command(CLI::App& app);
Command add_run_command(CLI::App& app);
Command add_scan_command(CLI::App& app);
Command add_send_command(CLI::App& app);

/// MM_IMAGES, else ../../images beside the executable.
std::filesystem::path images_folder();
/// The scenario files among `paths`, and those below the folders among them. The error is a sentence.
std::expected<std::vector<std::filesystem::path>, std::string> scenario_files(
    std::vector<std::filesystem::path> const& paths);
bool colour();                            ///< standard output is a terminal that may be coloured
u32 defects_of(std::string const& name);  ///< bits of supervisor::Check; 0 for a name that is not one

struct LearnOptions {
  std::vector<std::filesystem::path> paths;
  std::filesystem::path out;
  bool keep_refusals = false;  ///< what the policy of a scenario refuses is not learnt
  bool strict_width = false;
  bool json = false;
};
/// Records what the drivers of scenarios do, writes the policy that allows it, runs the scenarios again under it.
int learn_command(LearnOptions const& options);

/// The fuzz targets: fuzz/<name>.cpp.
inline constexpr std::array kFuzzTargets{"communicate", "depex", "files",  "hob",     "image",
                                         "messages",    "mmst",  "policy", "request", "scenario"};

/// The libFuzzer program of `target`: of the sanitizer build, or of the fast one.
std::filesystem::path fuzz_program_path(std::string const& target, bool fast);
/// That it is not built, and how to build it.
std::string fuzz_build_hint(std::string const& target, bool fast);

}  // namespace mm::runner
