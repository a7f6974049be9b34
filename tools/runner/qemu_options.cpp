// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/qemu_options.hpp"
#include "tools/lab/judge/check.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"

#include <fmt/format.h>

#include <iostream>

namespace mm::runner {
namespace {

using lab::RunEnd;

/// Why this run may be the host's fault; empty: it is not.
std::string time_out(lab::Prepared const& p, lab::MachineRun const& run) {
  auto const& expect = p.scenario.expect;
  if (run.ended == RunEnd::TimeLimit) {
    return "TimeLimit";
  }
  if (p.scenario.boot.cpus == 1 || expect.halted) {
    return "";
  }
  return run.halted == hal::HaltReason::RendezvousTimeout ? "RendezvousTimeout"
         : run.ended == RunEnd::Stopped                   ? "Stopped"
                                                          : "";
}

}  // namespace

void add_qemu_options(Arguments command, QemuOptions& options) {
  command.flag("--release", options.release,
               "QEMU with the release core: judged by results, and by its CPUs after a halt");
  command.option("--qemu-threads", options.threads, "Threads of the host for QEMU's CPUs: single, or multi")
      .one_of(std::vector<std::string>{"single", "multi"});
}

bool settle_target(QemuOptions const& options, std::string& target, bool was_given) {
  if (options.release && was_given && target != "qemu") {
    std::cerr << fmt::format("mmsim: --release runs on QEMU: --target={} does not go with it\n", target);
    return false;
  }
  if (options.any() && was_given && target == "sim") {
    std::cerr << "mmsim: --qemu-threads is about QEMU: use --target=qemu or both\n";
    return false;
  }
  target = options.release || (options.any() && !was_given) ? "qemu" : target;
  return true;
}

std::expected<void, std::string> choose_core(QemuOptions const& options, lab::Scenario& scenario) {
  return options.release ? lab::use_release_core(scenario) : std::expected<void, std::string>{};
}

void apply(QemuOptions const& options, lab::Prepared& prepared) {
  prepared.release = options.release;
  prepared.qemu.threads = options.threads == "multi";
}

std::expected<lab::MachineRun, std::string> run_and_repeat(lab::Prepared const& prepared,
                                                           std::vector<std::string>& owed) {
  for (;;) {
    auto run = lab::qemu().run(prepared);
    auto const why = run && prepared.qemu.threads ? time_out(prepared, *run) : std::string{};
    if (why.empty() || owed.size() == kRepetitions) {
      return run;
    }
    owed.push_back(fmt::format("repeated ({} of at most {}): {} under thread=multi may be the host's", owed.size() + 1,
                               kRepetitions, why));
  }
}

}  // namespace mm::runner
