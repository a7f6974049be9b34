// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>

#include "tools/lab/judge/check.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/tell/transcript.hpp"
#include "tools/lab/text/program_name.hpp"
#include "tools/runner/report.hpp"

namespace mm::runner {
namespace {

using namespace mm::lab;

/// What `mmsim linux` was asked to boot.
struct LinuxOptions {
  std::filesystem::path scenario;
  std::filesystem::path kernel, initrd;
  std::string command_line = "console=ttyS0 panic=-1";
  u32 cpus = 0;     ///< 0: what the scenario says
  u32 ram_mib = 0;  ///< 0: what the scenario says
  u32 seconds = 0;  ///< 0: no limit
  bool verbose = false;
};

constexpr std::size_t kLastEvents = 20;      ///< shown when MM stopped the machine
constexpr std::size_t kSignatureAt = 0x202;  ///< of a bzImage: "HdrS"

std::optional<std::string> unusable(LinuxOptions const& options) {
  auto const kernel = read_file(options.kernel);
  if (!kernel) {
    return kernel.error();
  }
  if (kernel->size() < kSignatureAt + 4 || load_int(*kernel, kSignatureAt, 4) != 0x5372'6448) {
    return fmt::format("{}: not a bzImage (no HdrS at offset 0x202)", options.kernel.string());
  }
  if (!options.initrd.empty() && ::access(options.initrd.c_str(), R_OK) != 0) {
    return fmt::format("{}: cannot be read", options.initrd.string());
  }
  return std::nullopt;
}

int refuse(std::string const& why, ExitCode code) {
  std::cerr << "mmsim: " << why << '\n';
  return code;
}

/// What the machine reports when it does not end by being switched off.
int tell_failure(MachineRun const& run) {
  for (auto const& line : run.text) {
    std::cerr << line << '\n';
  }
  if (run.ended == RunEnd::TimeLimit) {
    return refuse("the time of --time is over", kFailed);
  }
  return refuse(run.boot_failed ? "the machine did not boot" : "MM stopped the machine", kFailed);
}

/// The terminal as it was: an emulator that is killed leaves it without echo and lines.
class TerminalState {
 public:
  TerminalState() { known_ = ::tcgetattr(STDIN_FILENO, &state_) == 0; }
  ~TerminalState() {
    if (known_) {
      ::tcsetattr(STDIN_FILENO, TCSANOW, &state_);
    }
  }
  TerminalState(TerminalState const&) = delete;
  TerminalState& operator=(TerminalState const&) = delete;

 private:
  termios state_{};
  bool known_ = false;
};

/// Boots a scenario's machine on QEMU, runs its steps, then Linux on top, on this terminal. kFailed: MM stopped it.
int linux_command(LinuxOptions const& options) {
  if (auto const why = unusable(options)) {
    return refuse(*why, kBadInput);
  }
  auto scenario = load_scenario(options.scenario, images_folder());
  if (!scenario) {
    return refuse(scenario.error(), kBadInput);
  }
  scenario->boot.cpus = options.cpus != 0 ? options.cpus : scenario->boot.cpus;
  scenario->boot.ram_bytes = options.ram_mib != 0 ? u64{options.ram_mib} << 20 : scenario->boot.ram_bytes;
  auto prepared = prepare(std::move(*scenario), images_folder());
  if (!prepared) {
    return refuse(prepared.error(), kBadInput);
  }
  if (prepared->refused) {
    return refuse(*prepared->refused, kBadInput);
  }
  prepared->qemu.os = {options.kernel, options.initrd, options.command_line};
  prepared->qemu.limit = std::chrono::seconds{options.seconds};
  TerminalState const terminal;
  auto const run = qemu().run(*prepared);
  if (!run) {
    return refuse(run.error() + as_typed("\n`mmsim doctor` says what is missing"), kEnvironment);
  }
  auto const events = transcript(*prepared, *run);
  std::size_t const shown = options.verbose ? events.size() : run->complete ? 0 : std::min(events.size(), kLastEvents);
  for (auto const& event : std::span{events}.last(shown)) {
    fmt::print("{}\n", event);
  }
  return run->complete ? static_cast<int>(kPassed) : tell_failure(*run);
}

}  // namespace

Command add_linux_command(Arguments program) {
  auto const o = std::make_shared<LinuxOptions>();
  auto os = program.command("linux", "Boot Linux on top of a scenario's machine, on QEMU");
  os.option("SCENARIO", o->scenario, "Its machine, policy and drivers; its steps run before the kernel")
      .required()
      .existing_file();
  os.option("--kernel", o->kernel, "bzImage").required();
  os.option("--initrd", o->initrd, "Initial RAM disk");
  os.option("--append", o->command_line, "Kernel command line").shows_default();
  os.option("--cpus", o->cpus, "Number of CPUs instead of the scenario's").range(1, 8);
  os.option("--ram", o->ram_mib, "MiB of RAM instead of the scenario's").range(256, 2048);
  os.option("--time", o->seconds, "Seconds after which the machine is ended; default: no limit").range(1, 10'000'000);
  os.flag("-v,--verbose", o->verbose, "Afterwards every event of MM");
  os.footer(
      "Exit code 1: MM stopped the machine, the kernel could not be entered, or the time is over.\n"
      "tools/linux/boot brings a kernel and a RAM disk with mmcomm, which sends messages to MM.");
  return {os, [o] { return linux_command(*o); }};
}

}  // namespace mm::runner
