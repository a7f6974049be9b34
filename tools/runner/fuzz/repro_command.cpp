// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <set>

#include "tools/lab/coverage/collector.hpp"
#include "tools/lab/fuzzing/driver_case.hpp"
#include "tools/lab/fuzzing/sequence.hpp"
#include "tools/lab/judge/check.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/tell/compare.hpp"
#include "tools/lab/tell/transcript.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/fuzz/inputs.hpp"
#include "tools/runner/qemu_options.hpp"
#include "tools/runner/symbol_options.hpp"

extern char** environ;

namespace mm::runner {
namespace {

namespace fs = std::filesystem;

struct ReproOptions {
  std::filesystem::path file;
  std::string kind;  ///< one of kFuzzTargets; empty: the start of the file's name, or its folder
  std::string target = "sim";
  std::string defect;  ///< as for FuzzOptions
  QemuOptions qemu;
  lab::CoverageCollector coverage;
  u64 times = 1;
};

fs::path case_of(ReproOptions const& options) { return fuzz_case_of(options.file, options.kind); }

/// Runs the fuzz target, of this build or else of the sanitizer build, on the file: it knows what must hold.
int run_target(ReproOptions const& options) {
  auto const program = fuzz_program_of(options.kind);
  if (!program) {
    std::cerr << "mmsim: " << program.error() << '\n';
    return kEnvironment;
  }
  ::setenv("MM_FUZZ_DEFECT", options.defect.c_str(), 1);
  ::setenv("MM_FUZZ_CASE", case_of(options).c_str(), 1);
  ::setenv("MM_FUZZ_SAME", options.times > 1 ? "1" : "", 1);
  std::array<std::string, 3> text{program->string(), fmt::format("-runs={}", options.times), options.file.string()};
  std::array<char*, 4> raw{text[0].data(), text[1].data(), text[2].data(), nullptr};
  pid_t pid = 0;
  if (int const error = ::posix_spawn(&pid, raw[0], nullptr, nullptr, raw.data(), environ); error != 0) {
    std::cerr << fmt::format("mmsim: {}: {}\n", text[0], std::strerror(error));
    return kEnvironment;
  }
  int code = 0;
  ::waitpid(pid, &code, 0);
  bool const good = WIFEXITED(code) && WEXITSTATUS(code) == 0;
  if (options.times > 1) {
    std::cout << (good ? fmt::format("{} executions left the same events\n", options.times)
                       : std::string{"not every execution leaves the same events\n"});
  } else {
    std::cout << (good ? "everything that must hold does\n" : "something that must hold does not\n");
  }
  return good ? kPassed : kFailed;
}

/// False: it cannot be written.
bool write_coverage_of(lab::CoverageCollector const& coverage) {
  auto const written = coverage.write();
  if (written) {
    (*written ? std::cout : std::cerr) << (*written ? **written : "mmsim: " + written->error()) << '\n';
  }
  return !written || *written;
}

/// Runs the messages on one machine and prints what happened.
std::expected<lab::MachineRun, std::string> show(lab::Prepared const& p, std::string const& target) {
  std::vector<std::string> owed;
  auto run = target == "qemu" ? run_and_repeat(p, owed) : lab::simulator().run(p);
  if (!run) {
    return run;
  }
  std::cout << "# " << target << '\n';
  for (auto const& lines : {lab::transcript(p, *run), lab::describe_results(p, *run)}) {
    for (auto const& line : lines) {
      std::cout << line << '\n';
    }
  }
  for (auto const& line : owed) {
    std::cout << line << '\n';
  }
  if (run->ended) {
    std::cout << fmt::format("ended: {}\n", lab::end_name(*run->ended));
  }
  for (u32 const cpu : run->outside) {
    std::cout << fmt::format("CPU {} is outside MM after the halt\n", cpu);
  }
  std::cout << (run->halted ? fmt::format("halted: {}\n", lab::halt_name(*run->halted)) : "no halt\n");
  return run;
}

/// The machine of the input, with its messages as steps.
std::expected<lab::Prepared, std::string> prepare_input(ReproOptions const& options, lab::Bytes const& input) {
  if (options.kind == "communicate") {
    return lab::prepare_sequence(images_folder(), input, options.qemu.release);
  }
  auto const folder = case_of(options);
  MM_TRY_ASSIGN(auto const session, lab::read_session(folder));
  auto const messages = lab::split_messages(input, session.most_messages, session.most_bytes);
  return lab::prepare_case(folder, images_folder(), session, messages);
}

/// Shows the messages on the machines; kFailed when two do not agree.
int show_sequence(ReproOptions& options, lab::Bytes const& input) {
  auto prepared = prepare_input(options, input);
  if (!prepared) {
    std::cerr << "mmsim: " << prepared.error() << '\n';
    return kEnvironment;
  }
  apply(options.qemu, *prepared);
  prepared->coverage = options.coverage.wanted();
  for (auto const& [name, check] : lab::kCheckNames) {
    prepared->defects |= options.defect == name ? supervisor::bit_of(check) : 0;
  }
  std::vector<lab::MachineRun> shown;
  for (std::string const target : {"sim", "qemu"}) {
    if (options.target != target && options.target != "both") {
      continue;
    }
    if (!lab::is_for(prepared->scenario, target == "sim" ? lab::Target::Sim : lab::Target::Qemu)) {
      std::cout << "# " << target << "\nnot run: the machine is not one for it\n";
      continue;
    }
    auto one = show(*prepared, target);
    if (!one) {
      std::cerr << "mmsim: " << one.error() << '\n';
      return kEnvironment;
    }
    options.coverage.add(*prepared, *one);
    shown.push_back(std::move(*one));
  }
  if (!write_coverage_of(options.coverage)) {
    return kBadInput;
  }
  if (shown.size() < 2) {
    return shown.empty() || shown[0].outside.empty() ? kPassed : kFailed;
  }
  auto const found = lab::compare(*prepared, shown[0], shown[1]).difference;
  if (!found) {
    std::cout << "the machines agree\n";
    return kPassed;
  }
  std::cout << fmt::format("the machines differ from {} {} on\n  sim:  {}\n  qemu: {}\n", found->in, found->number,
                           found->sim, found->machine);
  return kFailed;
}

/// Runs one fuzzer input again; kFailed when what must hold does not, or when the machines differ.
int repro_command(ReproOptions& options) {
  options.kind = fuzz_kind_of(options.file, options.kind);
  if (options.kind.empty()) {
    std::cerr << "mmsim: " << options.file.string() << ": say with --kind which fuzzer the input is for\n";
    return kBadInput;
  }
  bool const on_machine = options.kind == "communicate" || !case_of(options).empty();
  if (!on_machine && options.target != "sim") {
    std::cerr << fmt::format(
        "mmsim: --target {}: inputs for {} {}\n", options.target, options.kind,
        options.kind == "driver" ? "need machine.toml and session.json beside them" : "do not run on a machine");
    return kBadInput;
  }
  if (options.times > 1 && options.kind != "driver") {
    std::cerr << "mmsim: --times: the events of one machine are compared, and only inputs for driver have it\n";
    return kBadInput;
  }
  if (options.coverage.wanted() && (!on_machine || options.target == "qemu")) {
    std::cerr << "mmsim: --coverage looks into the simulator: it takes inputs for communicate and driver, and --target "
                 "sim or both\n";
    return kBadInput;
  }
  auto const input = lab::read_file(options.file);
  if (!input) {
    std::cerr << "mmsim: " << input.error() << '\n';
    return kBadInput;
  }
  int const shown = on_machine ? show_sequence(options, *input) : int{kPassed};
  if (shown == kEnvironment || shown == kBadInput || options.target == "qemu") {
    return shown;
  }
  return std::max(shown, run_target(options));
}

}  // namespace

Command add_repro_command(Arguments program) {
  auto const o = std::make_shared<ReproOptions>();
  std::vector<std::string> const targets{kFuzzTargets.begin(), kFuzzTargets.end()};
  auto repro = program.command("repro", "Run one input of a fuzzer again");
  repro.option("FILE", o->file, "The input").required().existing_file();
  repro.option("--kind", o->kind, "The fuzzer it is for; default: from the names of file and folder").one_of(targets);
  auto const target =
      repro.option("--target", o->target, "Machine for communicate and driver: sim, qemu, or both (and compare)")
          .one_of(std::vector<std::string>{"sim", "qemu", "both"});
  add_qemu_options(repro, o->qemu);
  repro.option("--times", o->times, "driver: so many executions, which must all leave the same events")
      .range(1, 1'000'000'000);
  repro.option("--coverage", o->coverage.folder(),
               "Count the code of drivers that runs; write drcov, lcov and a page to this folder");
  repro.option("--defect", o->defect, "Plant a defect").hidden();  // for tests
  add_symbol_options(repro);
  repro.footer(
      "Exit code 1: what must hold does not, or the machines differ.\n"
      "Example: mmsim repro communicate-1f2e3d4c --target=both");
  return {repro, [o, target] {
            if (!settle_target(o->qemu, o->target, target.given())) {
              return int{kBadInput};
            }
            return repro_command(*o);
          }};
}

}  // namespace mm::runner
