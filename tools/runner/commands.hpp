// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <expected>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/types.hpp"
#include "tools/runner/arguments.hpp"

/// The sub-commands of mmsim, and what they share.
namespace mm::runner {

enum ExitCode : int { kPassed = 0, kFailed = 1, kBadInput = 2, kEnvironment = 3, kSkipped = 77 };

/// A sub-command that has been added to the program's options: run() when arguments.chosen(). It returns the exit code
/// of the process.
struct Command {
  Arguments arguments;
  std::function<int()> run;
};
Command add_audit_command(Arguments program);
Command add_bench_command(Arguments program);
Command add_completion_command(Arguments program);
Command add_confirm_command(Arguments program);
Command add_coverage_command(Arguments program);
Command add_debug_command(Arguments program);
Command add_doctor_command(Arguments program);
Command add_fuzz_command(Arguments program);
Command add_images_command(Arguments program);
Command add_linux_command(Arguments program);
Command add_minimize_command(Arguments program);
Command add_policy_command(Arguments program);
Command add_repro_command(Arguments program);
Command add_run_command(Arguments program);
Command add_scan_command(Arguments program);
Command add_send_command(Arguments program);

/// Says "mmsim: WHAT" on standard error, and gives `code`: the end of a command.
int complain(std::string const& what, int code = kBadInput);

/// Program, engine, and the images of `images`: a line each (shell/version.cpp).
std::string version_text(std::filesystem::path const& images);
/// MM_IMAGES; else, of an installed program, ../lib/mm-supervisor/images; else, of a build, ../../images.
std::filesystem::path images_folder();
/// Whether images_folder() is that of an installed program and not of a build.
bool is_installed();
/// The scenario files among `paths`, and those below the folders among them. The error is a sentence.
std::expected<std::vector<std::filesystem::path>, std::string> scenario_files(
    std::vector<std::filesystem::path> const& paths);
std::string qemu_version();               ///< first line of what `qemu-system-x86_64 --version` says, or nothing
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
inline constexpr std::array kFuzzTargets{"claim", "communicate", "depex", "driver", "files",   "hob",
                                         "image", "messages",    "mmst",  "policy", "request", "scenario"};

/// The libFuzzer program of `target`: of the sanitizer build, or of the fast one; an installed program brings one.
std::filesystem::path fuzz_program_path(std::string const& target, bool fast);
/// That it is not built, and how to build it.
std::string fuzz_build_hint(std::string const& target, bool fast);

}  // namespace mm::runner
