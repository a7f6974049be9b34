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

/// The subcommands of mmsim. Each returns the exit code of the process.
namespace mm::runner {

enum ExitCode : int { kPassed = 0, kFailed = 1, kBadInput = 2, kEnvironment = 3, kSkipped = 77 };

struct RunOptions {
  std::vector<std::filesystem::path> paths;
  std::string target = "sim";
  u32 cpus = 0;        ///< 0: what the scenario says
  u64 seed = 0;        ///< 0: what the scenario says
  std::string defect;  ///< name of a supervisor::Check that the simulator removes; empty: none
  bool audit = false;  ///< audit the simulator's page tables after every MMI
  bool json = false;
  bool verbose = false;
  std::filesystem::path junit;
  std::filesystem::path transcript;
};

/// What `mmsim send` was asked to do.
struct SendOptions {
  std::vector<std::string> images;  ///< FILE.efi[:FILE.depex]
  std::vector<std::filesystem::path> volumes;
  std::vector<std::string> hobs;  ///< GUID:HEX or GUID:FILE
  std::filesystem::path policy;   ///< empty: the default
  std::string to;                 ///< name or GUID
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
/// The scenario files among `paths`, and those below the folders among them. The error is a sentence.
std::expected<std::vector<std::filesystem::path>, std::string> scenario_files(
    std::vector<std::filesystem::path> const& paths);
bool colour();  ///< standard output is a terminal that may be coloured
struct AuditOptions {
  std::vector<std::filesystem::path> paths;
  std::filesystem::path html;
  bool json = false;
  std::string defect;  ///< as of RunOptions
};
/// Runs scenarios on the simulator and audits the page tables after every MMI; kFailed when a rule is broken.
int audit_command(AuditOptions const& options);
u32 defects_of(std::string const& name);  ///< bits of supervisor::Check; 0 for a name that is not one
int doctor_command(bool json, bool verbose);
/// Boots one machine with the images, sends the message (or every message of a file) and prints what comes back.
int send_command(SendOptions const& options);
/// Lists what is in volumes, flash images and PE images.
int images_command(std::vector<std::filesystem::path> const& files, bool json);
int bench_command(bool json);
/// What `mmsim linux` was asked to boot.
struct LinuxOptions {
  std::filesystem::path scenario;
  std::filesystem::path kernel, initrd;
  std::string command_line = "console=ttyS0 panic=-1";
  u32 cpus = 0;     ///< 0: what the scenario says
  u32 ram_mib = 0;  ///< 0: what the scenario says
  bool verbose = false;
};
/// Boots a scenario's machine on QEMU, runs its steps, then Linux on top, on this terminal. kFailed: MM stopped it.
int linux_command(LinuxOptions const& options);
/// Adds `policy` and its own sub-commands; the result runs the one that was chosen.
std::function<int()> add_policy_command(CLI::App& app);

struct LearnOptions {
  std::vector<std::filesystem::path> paths;
  std::filesystem::path out;
  bool keep_refusals = false;  ///< what the policy of a scenario refuses is not learnt
  bool strict_width = false;
  bool json = false;
};
/// Records what the drivers of scenarios do, writes the policy that allows it, runs the scenarios again under it.
int learn_command(LearnOptions const& options);

struct ScanOptions {
  std::vector<std::string> images;  ///< FILE.efi, FILE.efi:FILE.depex, or a volume
  std::filesystem::path sarif;      ///< where to write SARIF; empty: nowhere
  bool json = false;
};
/// Says what keeps drivers from running as Standalone MM drivers in ring 3; kFailed when something does.
int scan_command(ScanOptions const& options);

/// The fuzz targets: fuzz/<name>.cpp.
inline constexpr std::array kFuzzTargets{"communicate", "depex",  "hob",     "image",   "messages",
                                         "mmst",        "policy", "request", "scenario"};

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
/// Runs libFuzzer on one target; kFailed when it found something.
int fuzz_command(FuzzOptions const& options);
/// The libFuzzer program of `target`: of the sanitizer build, or of the fast one.
std::filesystem::path fuzz_program_path(std::string const& target, bool fast);
/// That it is not built, and how to build it.
std::string fuzz_build_hint(std::string const& target, bool fast);

struct ReproOptions {
  std::filesystem::path file;
  std::string kind;  ///< one of kFuzzTargets; empty: the start of the file's name, or its folder
  std::string target = "sim";
  std::string defect;  ///< as for FuzzOptions
};
/// Runs one fuzzer input again; kFailed when what must hold does not, or when the machines differ.
int repro_command(ReproOptions const& options);

}  // namespace mm::runner
