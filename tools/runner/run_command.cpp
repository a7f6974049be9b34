// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/lab/coverage/collector.hpp"
#include "tools/lab/judge/check.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/interruption.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/tell/device_text.hpp"
#include "tools/lab/tell/driver_report.hpp"
#include "tools/lab/tell/transcript.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/lab/text/program_name.hpp"
#include "tools/runner/qemu_options.hpp"
#include "tools/runner/report.hpp"
#include "tools/runner/suite.hpp"
#include "tools/runner/symbol_options.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using namespace mm::lab;

struct RunOptions {
  std::vector<std::filesystem::path> paths;
  std::string target = "sim";
  QemuOptions qemu;
  u32 cpus = 0;        ///< 0: what the scenario says
  u64 seed = 0;        ///< 0: what the scenario says
  std::string defect;  ///< name of a supervisor::Check that the simulator removes; empty: none
  bool audit = false;  ///< audit the simulator's page tables after every MMI
  bool json = false;
  bool verbose = false;
  bool quiet = false;   ///< only what failed, and the summary
  std::string pattern;  ///< part of the paths that are run; empty: all
  SuiteOptions suite;
  std::filesystem::path junit;
  std::shared_ptr<CoverageCollector> coverage = std::make_shared<CoverageCollector>();
  std::filesystem::path transcript;
};

void finish(Outcome& o, std::string outcome, int code, std::vector<std::string> messages) {
  o.outcome = std::move(outcome);
  o.code = code;
  o.messages = std::move(messages);
}

void keep(Prepared const& p, MachineRun const& run, Outcome& o) {
  o.steps = describe_results(p, run);
  o.events = transcript(p, run);
  o.drivers.dispatch = p.release ? std::vector<std::string>{} : describe_dispatch(report_drivers(p, run));
  o.drivers.serial = run.serial;
  o.drivers.devices = device_lines(run);
  o.boot_events = render(p, run, in_order(events_before_steps(p, run)));
  o.story.clear();
  for (auto& told : tell(p, run)) {
    auto& step = o.story.emplace_back();
    step.events = render(p, run, in_order(told.events));
    if (told.result != nullptr) {
      step.status = told.result->head.status;
      step.value = told.result->head.value;
      step.data = told.result->data;
      told.result = nullptr;  // the run ends before the outcome
    }
    step.story = std::move(told);
  }
}

std::optional<MachineRun> execute(Prepared const& p, std::string const& target, CoverageCollector& coverage,
                                  Outcome& o) {
  std::vector<std::string> owed;
  auto run = target == "qemu" ? run_and_repeat(p, owed) : simulator().run(p);
  o.repeated += owed.size();
  o.notes.insert(o.notes.end(), owed.begin(), owed.end());
  if (!run) {
    finish(o, "error", kEnvironment, {run.error(), as_typed("`mmsim doctor` says what is missing")});
    return std::nullopt;
  }
  keep(p, *run, o);
  coverage.add(p, *run);
  o.ended = run->ended ? end_name(*run->ended) : run->halted ? halt_name(*run->halted) : "";
  if (run->dropped_events != 0) {
    o.notes.push_back(fmt::format("{}: {} events were not kept: the first {} are, and the halt", target,
                                  run->dropped_events, RunLimits::kEvents));
  }
  for (auto& problem : check(p, *run)) {
    auto what_to_do = advice(p, *run, problem);
    o.failures.push_back({std::move(problem), target, std::move(what_to_do)});
  }
  if (!o.failures.empty()) {
    finish(o, "failed", kFailed, {});
  }
  return std::move(*run);
}

/// True when the host's check of the images has decided the outcome.
bool refused(Prepared const& p, Outcome& o) {
  auto const& want = p.scenario.expect.refused_image;
  if (p.refused && want == p.refused_image) {
    o.messages.push_back(*p.refused + ", as expected");
    return true;
  }
  if (p.refused) {
    finish(o, "error", kBadInput, {*p.refused});
    return true;
  }
  return false;
}

void run_both(Prepared const& p, CoverageCollector& coverage, Outcome& o) {
  auto const sim = execute(p, "sim", coverage, o);
  if (!sim || o.code != kPassed) {
    return;
  }
  auto const qemu = execute(p, "qemu", coverage, o);
  if (!qemu || o.code != kPassed) {
    return;
  }
  o.comparison = compare(p, *sim, *qemu);
  if (o.comparison.difference) {
    finish(o, "failed", kFailed, {});
  }
}

/// Where a scenario runs when `wanted` was asked for: a scenario for one machine runs on that one when both were.
/// Empty: nowhere.
std::string target_of(Scenario const& s, std::string const& wanted) {
  bool const sim = is_for(s, Target::Sim);
  bool const qemu = is_for(s, Target::Qemu);
  if (wanted == "both") {
    return sim && qemu ? wanted : sim ? "sim" : qemu ? "qemu" : "";
  }
  return (wanted == "sim" ? sim : qemu) ? wanted : "";
}

/// Why the QEMU that is here is none for this scenario; empty: it is one, or it does not say what it is.
std::string qemu_exception(Scenario const& s) {
  if (s.machines.qemu_exceptions.empty()) {
    return {};
  }
  static std::string const version = qemu_version();
  auto const at = version.find_first_of("0123456789");
  auto const major = at == std::string::npos ? 0 : std::strtoul(version.c_str() + at, nullptr, 10);
  for (auto const& e : s.machines.qemu_exceptions) {
    if (major >= e.from && major < e.below) {
      return fmt::format("not on QEMU {}: {}", major, e.because);
    }
  }
  return {};
}

/// Where it runs by the file, and by the QEMU that is here; the second one may be a note of `o`.
std::string settled_target(Scenario const& s, RunOptions const& options, Outcome& o) {
  auto target = target_of(s, options.target);
  auto const why = target == "both" || target == "qemu" ? qemu_exception(s) : std::string{};
  if (why.empty()) {
    return target;
  }
  o.messages.push_back(why);
  return target == "both" ? "sim" : "";
}

Outcome run_one(fs::path const& file, RunOptions const& options) {
  Outcome o;
  o.scenario = file.string();
  o.target = options.target;
  auto const images = images_folder();
  auto loaded = load_scenario(file, images);
  if (!loaded) {
    finish(o, "error", kBadInput, {loaded.error()});
    return o;
  }
  loaded->boot.cpus = options.cpus != 0 ? options.cpus : loaded->boot.cpus;
  loaded->seed = options.seed != 0 ? options.seed : loaded->seed;
  if (auto const chosen = choose_core(options.qemu, *loaded); !chosen) {
    finish(o, "skipped", kSkipped, {chosen.error()});
    return o;
  }
  auto prepared = prepare(std::move(*loaded), images);
  if (!prepared) {
    finish(o, "error", kBadInput, {prepared.error()});
    return o;
  }
  apply(options.qemu, *prepared);
  o.name = prepared->scenario.name;
  prepared->defects |= defects_of(options.defect);
  prepared->audit |= options.audit;
  prepared->coverage = options.coverage->wanted();
  if ((prepared->defects & supervisor::bit_of(supervisor::Check::RsmPrecheck)) != 0) {
    prepared->refused.reset();
  }
  o.target = settled_target(prepared->scenario, options, o);
  if (o.target.empty()) {
    o.target = options.target;
    finish(o, "skipped", kSkipped, o.messages.empty() ? std::vector<std::string>{"not for this target"} : o.messages);
  } else if (!refused(*prepared, o)) {
    auto const start = std::chrono::steady_clock::now();
    if (o.target == "both") {
      run_both(*prepared, *options.coverage, o);
    } else {
      execute(*prepared, o.target, *options.coverage, o);
    }
    o.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }
  o.messages.insert(o.messages.end(), o.notes.begin(), o.notes.end());
  o.messages.insert(o.messages.end(), prepared->warnings.begin(), prepared->warnings.end());
  return o;
}

/// The worst: environment, bad input, failed; skipped when nothing ran.
int exit_code(std::vector<Outcome> const& outcomes) {
  for (int const code : {int{kEnvironment}, int{kBadInput}, int{kFailed}, int{kPassed}}) {
    if (std::ranges::any_of(outcomes, [&](Outcome const& o) { return o.code == code; })) {
      return code;
    }
  }
  return kSkipped;
}

/// True: written, or not asked for.
bool write_report(fs::path const& file, std::string const& text) {
  auto const done =
      file.empty() ? std::expected<void, std::string>{} : write_file(file, std::as_bytes(std::span{text}));
  if (!done) {
    std::cerr << "mmsim: " << done.error() << '\n';
  }
  return done.has_value();
}

/// False: it could not be written.
bool write_coverage_of(RunOptions const& options) {
  auto const written = options.coverage->write();
  if (written && *written && !options.json) {
    std::cout << **written << '\n';
  } else if (written && !*written) {
    std::cerr << "mmsim: " << written->error() << '\n';
  }
  return !written || *written;
}

int run_command(RunOptions const& options) {
  if (!options.defect.empty() && (defects_of(options.defect) == 0 || options.target != "sim")) {
    std::cerr << fmt::format("mmsim: --defect {}: no such check, or not on this target\n", options.defect);
    return kBadInput;
  }
  if ((options.audit || options.coverage->wanted()) && options.target == "qemu") {
    std::cerr << fmt::format("mmsim: {} looks into the simulator: use --target sim or both\n",
                             options.audit ? "--audit" : "--coverage");
    return kBadInput;
  }
  auto const files = scenario_files(options.paths);
  if (!files) {
    std::cerr << "mmsim: " << files.error() << '\n';
    return kBadInput;
  }
  auto const chosen = chosen_files(*files, options.pattern);
  if (chosen.empty()) {
    std::cerr << fmt::format("mmsim: -k {}: in none of the {} paths; give a part of a path\n", options.pattern,
                             files->size());
    return kBadInput;
  }
  bool const single = options.paths.size() == 1 && files->size() == 1 && fs::is_regular_file(options.paths[0]);
  Detail const detail = options.verbose ? Detail::Events : single ? Detail::Story : Detail::Line;
  SuiteOptions suite = options.suite;
  suite.progress = !options.json;
  auto const outcomes = run_suite(
      chosen, suite, [&](fs::path const& file) { return run_one(file, options); },
      [&](Outcome const& outcome) {
        bool const calm = outcome.code == kPassed || outcome.code == kSkipped;
        if (!options.json && !(options.quiet && calm)) {
          print(outcome, detail);
        }
      });
  if (!options.json && !single) {
    print_summary(outcomes, Interruption::signal() == 0 ? chosen.size() - outcomes.size() : 0);
  }
  if (options.json) {
    nlohmann::json results = nlohmann::json::array();
    for (auto const& o : outcomes) {
      results.push_back(to_json(o));
    }
    std::cout << json_text({{"schema", 1}, {"results", results}});
  }
  if (!write_coverage_of(options) || !write_report(options.junit, junit(outcomes)) ||
      !write_report(options.transcript, transcripts(outcomes))) {
    return kBadInput;
  }
  if (int const signal = Interruption::signal(); signal != 0) {
    std::cerr << fmt::format("mmsim: interrupted; {} of {} scenarios have ended, and what was asked for is written\n",
                             outcomes.size(), chosen.size());
    return 128 + signal;
  }
  return exit_code(outcomes);
}

}  // namespace

u32 defects_of(std::string const& name) {
  auto const at = std::ranges::find(kCheckNames, name, [](auto const& entry) { return std::string{entry.first}; });
  return at == kCheckNames.end() ? 0 : supervisor::bit_of(at->second);
}

namespace {
/// Whether a .toml of a folder means to be a scenario: a line of it begins with `schema`. What cannot be read is one,
/// so that it is told.
bool is_scenario(fs::path const& file) {
  auto const bytes = read_file(file);
  if (!bytes) {
    return true;
  }
  std::string_view const text{reinterpret_cast<char const*>(bytes->data()), bytes->size()};
  return text.starts_with("schema") || text.find("\nschema") != std::string_view::npos;
}
}  // namespace

std::expected<std::vector<fs::path>, std::string> scenario_files(std::vector<fs::path> const& paths) {
  std::vector<fs::path> files;
  for (auto const& path : paths) {
    if (fs::is_regular_file(path) || fs::is_fifo(path)) {
      files.push_back(path);
      continue;
    }
    if (!fs::is_directory(path)) {
      return std::unexpected(path.string() + ": no such file or folder");
    }
    std::vector<fs::path> found;
    std::size_t others = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator at{path, error}, end; !error && at != end; at.increment(error)) {
      std::error_code ignored;
      if (at->is_regular_file(ignored) && at->path().extension() == ".toml") {
        is_scenario(at->path()) ? found.push_back(at->path()) : static_cast<void>(++others);
      }
    }
    if (error) {
      return std::unexpected(fmt::format("{}: cannot be read: {}", path.string(), error.message()));
    }
    if (found.empty()) {
      return std::unexpected(path.string() + (others == 0 ? ": no scenario (.toml) in this folder"
                                                          : ": no scenario in this folder: no .toml says `schema`"));
    }
    if (others != 0) {
      std::cerr << fmt::format("mmsim: {}: {} .toml file(s) without `schema` are no scenarios, and not run\n",
                               path.string(), others);
    }
    std::ranges::sort(found);
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

Command add_run_command(Arguments program) {
  auto const o = std::make_shared<RunOptions>();
  auto run = program.command("run", "Run scenario files, or every .toml below a folder");
  run.option("PATH", o->paths, "Scenario files and folders").required();
  auto const target = run.option("--target", o->target, "Machine: sim, qemu, or both (and compare)")
                          .one_of(std::vector<std::string>{"sim", "qemu", "both"});
  add_qemu_options(run, o->qemu);
  run.option("--cpus", o->cpus, "Number of CPUs instead of the scenario's").range(1, 8);
  run.option("--seed", o->seed, "Seed of the scheduler instead of the scenario's").not_negative();
  run.option("--defect", o->defect, "Remove one check of the simulated machine").hidden();  // for tests
  run.flag("--audit", o->audit, "Audit the simulator's page tables after every MMI");
  run.flag("--json", o->json, "One JSON object on standard output instead of text");
  run.option("-j,--jobs", o->suite.jobs, "Scenarios at once; 0: one for each CPU of this computer").range(0, 256);
  run.option("-k", o->pattern, "Only scenarios with this in their path");
  run.flag("--fail-fast", o->suite.fail_fast, "Start none behind the first that fails");
  run.flag("-q,--quiet", o->quiet, "Print what failed, and the summary");
  run.option("--coverage", o->coverage->folder(),
             "Count the code of drivers that runs; write drcov, lcov and a page to this folder");
  run.option("--junit", o->junit, "Write a JUnit report to this file");
  run.option("--transcript", o->transcript, "Write every event to this file");
  run.flag("-v,--verbose", o->verbose, "Print every event and every step's result");
  add_symbol_options(run);
  run.footer(
      "Examples:\n"
      "  mmsim run scenarios/smoke                       every scenario of a folder, on the simulator\n"
      "  mmsim run scenarios/smoke/hello.toml -v         one, with everything that happened\n"
      "  mmsim run scenarios/smoke --target=both         on both machines; their transcripts must agree\n"
      "  mmsim run scenarios/smoke --release             the release core on QEMU\n"
      "  mmsim run mine -j 0 -q --junit report.xml       a suite on every CPU, for continuous integration\n"
      "scenarios/README.md is the format of scenarios.");
  return {run, [o, target] {
            if (!settle_target(o->qemu, o->target, target.given())) {
              return int{kBadInput};
            }
            return run_command(*o);
          }};
}

}  // namespace mm::runner
