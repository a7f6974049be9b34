// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>

#include "tools/lab/fuzzing/driver_input.hpp"
#include "tools/lab/text/bytes.hpp"
#include "tools/lab/text/program_name.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/fuzz/options.hpp"
#include "tools/runner/fuzz/process.hpp"
#include "tools/runner/fuzz/status.hpp"
#include "tools/runner/symbol_options.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kBadDefectCode = 2;  ///< fuzz/support/entry.cpp

fs::path source_root() { return (images_folder() / "../../..").lexically_normal(); }

/// Where one target keeps what it learns.
struct Places {
  fs::path corpus;
  fs::path findings;
  fs::path fresh;  ///< what libFuzzer writes before it gets its name; below findings
  fs::path log;    ///< all that the fuzzer wrote, of the last session
};

std::expected<Places, std::string> make_places(FuzzOptions const& o) {
  auto const home = fuzz_home() / o.target;
  Places p{.corpus = o.corpus.empty() ? home / "corpus" : o.corpus,
           .findings = o.findings.empty() ? home / "findings" : o.findings,
           .fresh = {},
           .log = {}};
  p.fresh = p.findings / ".new";
  p.log = p.findings / "log.txt";
  for (auto const& folder : {p.corpus, p.findings, p.fresh}) {
    MM_TRY(make_folder(folder));
  }
  return p;
}

/// Moves what was found to the findings, named after target and content. libFuzzer also reports inputs that are merely
/// slow: they stay behind.
std::vector<fs::path> keep_findings(Places const& places, std::string const& target) {
  std::vector<fs::path> kept;
  for (auto const& entry : fs::directory_iterator{places.fresh}) {
    auto const name = entry.path().filename().string();
    auto const bytes = lab::read_file(entry.path());
    if (!bytes || name.starts_with("slow-unit-")) {
      continue;
    }
    auto const path = places.findings / fmt::format("{}-{:016x}", target, lab::fnv1a(*bytes));
    if (lab::write_file(path, *bytes)) {
      fs::remove(entry.path());
      kept.push_back(path);
    }
  }
  return kept;
}

std::vector<std::string> command_line(fs::path const& program, FuzzOptions const& o, Places const& places, u32 seconds,
                                      u32 round) {
  auto const home = source_root() / "fuzz";
  std::vector<std::string> a{program.string(), "-print_final_stats=1",
                             "-artifact_prefix=" + places.fresh.string() + "/", "-rss_limit_mb=4096"};
  if (seconds != 0) {
    a.push_back(fmt::format("-max_total_time={}", seconds));
  }
  if (o.runs != 0) {
    a.push_back(fmt::format("-runs={}", o.runs));
  }
  if (o.seed != 0) {
    a.push_back(fmt::format("-seed={}", o.seed + round));
  }
  if (o.jobs > 1) {
    a.push_back(fmt::format("-fork={}", o.jobs));
  }
  if (auto const words = home / "dictionaries" / (o.target + ".dict"); fs::is_regular_file(words)) {
    a.push_back("-dict=" + words.string());
  }
  a.push_back(places.corpus.string());
  if (auto const seeds = home / "corpus" / o.target; fs::is_directory(seeds)) {
    a.push_back(seeds.string());
  }
  return a;
}

struct Session {
  std::vector<fs::path> findings;
  std::string error;  ///< of the environment, or of the input when `bad_input`
  bool bad_input = false;
};

/// Runs the fuzzer until its time is over; after a finding it ends, or with keep_going starts again for the rest.
Session fuzz(fs::path const& program, FuzzOptions const& o, Places const& places, FuzzStatus& status) {
  Session session;
  std::ofstream log{places.log};
  auto const begin = Clock::now();
  for (u32 round = 0;; ++round) {
    auto const passed = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin).count();
    u32 const left = o.seconds > passed ? o.seconds - static_cast<u32>(passed) : 0;
    auto const ended = run_fuzzer(command_line(program, o, places, left, round),
                                  {"MM_FUZZ_PROGRESS=1", "MM_FUZZ_DEFECT=" + o.defect}, [&](std::string_view line) {
                                    log << line << '\n';
                                    status.line(line);
                                  });
    if (!ended) {
      session.error = ended.error();
      return session;
    }
    int const code = *ended;
    auto const kept = keep_findings(places, o.target);
    session.findings.insert(session.findings.end(), kept.begin(), kept.end());
    status.findings(session.findings.size());
    if (code == kInterruptedCode || interrupted()) {
      return session;
    }
    if (kept.empty() && code != 0) {
      session.bad_input = code == kBadDefectCode && !o.defect.empty();
      session.error = fmt::format("{} ended with exit code {} and left no input behind; its words are in {}",
                                  program.string(), code, places.log.string());
      return session;
    }
    if (kept.empty() || !o.keep_going || (o.seconds != 0 && left <= 1)) {
      return session;
    }
  }
}

/// Runs libFuzzer on one target; kFailed when it found something.
int fuzz_command(FuzzOptions const& options) {
  auto const program = fuzz_program_path(options.target, options.fast);
  if (::access(program.c_str(), X_OK) != 0) {
    std::cerr << "mmsim: " << fuzz_build_hint(options.target, options.fast) << '\n';
    return kEnvironment;
  }
  auto const places = make_places(options);
  if (!places) {
    std::cerr << "mmsim: " << places.error() << '\n';
    return kBadInput;
  }
  Interrupts const interrupts;
  FuzzStatus status{options.target, options.seconds, places->corpus};
  auto const session = fuzz(program, options, *places, status);
  status.end();
  for (auto const& path : session.findings) {
    std::cout << fmt::format("found {}\n  replay: {} repro {} --kind {}{}\n", path.string(), lab::program_name(),
                             path.string(), options.target,
                             options.defect.empty() ? "" : " --defect " + options.defect);
  }
  if (!session.error.empty()) {
    std::cerr << "mmsim: " << (session.bad_input ? status.last_words() : session.error) << '\n';
    return session.bad_input ? kBadInput : kEnvironment;
  }
  std::cout << status.summary(interrupted()) << '\n';
  return session.findings.empty() ? kPassed : kFailed;
}

void add_driver_options(Arguments fuzz, DriverFuzzOptions& d) {
  add_machine_options(fuzz, d.machine);
  fuzz.option("--scenario", d.scenario,
              "driver: the machine of this scenario; its steps run first, its messages are seeds")
      .existing_file();
  fuzz.option("--to", d.to, "driver: only this handler, GUID or name; may be repeated. Default: all that register");
  fuzz.option("--seeds", d.seeds, "driver: a folder of messages, or a .jsonl file as for `mmsim send --messages`");
  fuzz.option("--dict", d.dictionary, "driver: words for messages, as libFuzzer takes them").existing_file();
  fuzz.option("--max-len", d.max_len, "driver: most bytes of a message")
      .range(0, lab::kMostDriverBytes)
      .shows_default();
  fuzz.option("--max-messages", d.max_messages, "driver: most messages of an input")
      .range(1, lab::kMostDriverMessages)
      .shows_default();
  fuzz.option("--allow", d.allow, "driver: do not report this; may be repeated");
  fuzz.flag("--no-heap-guard", d.no_heap_guard, "driver: pool blocks and messages lie where they always do");
  fuzz.flag("--no-qemu", d.no_qemu, "driver: replay findings on the simulator only");
  fuzz.flag("--json", d.json, "driver: one JSON object on standard output");
  fuzz.option("--coverage", d.coverage,
              "driver: run the inputs that it ends with once more, and write drcov, lcov and a page to this folder");
  fuzz.option("--sarif", d.sarif, "driver: write the findings to this file as SARIF 2.1.0");
  fuzz.option("--junit", d.junit, "driver: write the findings to this file as JUnit, a test case each");
}

}  // namespace

std::filesystem::path fuzz_program_path(std::string const& target, bool fast) {
  if (is_installed()) {
    return (images_folder() / "../fuzz" / ("fuzz_" + target)).lexically_normal();
  }
  auto const* const preset = fast ? "host-release" : "host-debug";
  return (images_folder() / "../.." / preset / "fuzz" / ("fuzz_" + target)).lexically_normal();
}

std::string fuzz_build_hint(std::string const& target, bool fast) {
  if (is_installed()) {
    return fmt::format(
        "{} is not part of this installation; a package built with Clang brings `mmsim fuzz driver`, other targets are "
        "run from the source tree",
        fuzz_program_path(target, fast).string());
  }
  return fmt::format("{} is not built. Build it:\n  ninja -C build/{} fuzz_{} images",
                     fuzz_program_path(target, fast).string(), fast ? "host-release" : "host-debug", target);
}

Command add_fuzz_command(Arguments program) {
  auto const o = std::make_shared<FuzzOptions>();
  std::vector<std::string> const targets{kFuzzTargets.begin(), kFuzzTargets.end()};
  auto fuzz = program.command("fuzz", "Run a fuzzer; Ctrl-C ends it, and what it learned stays");
  fuzz.option("TARGET", o->target, "What to fuzz").required().one_of(targets);
  auto const time =
      fuzz.option("--time", o->seconds, "Seconds; 0: until Ctrl-C. Default 60, 0 with --runs").range(0, 10'000'000);
  fuzz.option("--runs", o->runs, "Most executions").not_negative();
  fuzz.option("--seed", o->seed, "Seed of the mutations; the same seed and --runs do the same again").not_negative();
  fuzz.option("--jobs", o->jobs, "Processes").range(1, 64);
  fuzz.option("--corpus", o->corpus, "Folder that keeps inputs which reach something new");
  fuzz.option("--findings", o->findings, "Folder that keeps inputs which broke something");
  fuzz.flag("--keep-going", o->keep_going, "Go on after a finding, until the time is over");
  fuzz.flag("--fast", o->fast, "The program without sanitizers");
  fuzz.option("--defect", o->defect, "Plant a defect").hidden();  // for tests
  auto const d = std::make_shared<DriverFuzzOptions>();
  add_driver_options(fuzz, *d);
  add_symbol_options(fuzz);
  fuzz.footer(
      "Exit code 1: something was found; each finding is a file that `mmsim repro FILE` runs again.\n"
      "Examples:\n"
      "  mmsim fuzz communicate --time 3600 --jobs 2\n"
      "  mmsim fuzz image --runs 100000 --seed 1\n"
      "  mmsim fuzz driver --image My.efi:My.depex --time 300\n"
      "  mmsim fuzz driver --scenario my.toml --to GUID --seeds messages.jsonl --allow refused-call");
  return {fuzz, [o, d, time] {
            o->seconds = !time.given() && o->runs != 0 ? 0 : o->seconds;
            if (o->target == "driver") {
              return fuzz_driver_command(*o, *d);
            }
            if (*d != DriverFuzzOptions{}) {
              std::cerr << fmt::format("mmsim: fuzz {}: options of `fuzz driver` say nothing here\n", o->target);
              return int{kBadInput};
            }
            return fuzz_command(*o);
          }};
}

}  // namespace mm::runner
