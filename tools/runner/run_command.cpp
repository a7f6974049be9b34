// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/scenario/names.hpp"
#include "sim/scenario/run.hpp"
#include "sim/scenario/send.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using namespace mm::scenario;

/// One scenario on one target.
struct Outcome {
  std::string scenario;
  std::string target;
  std::string outcome = "passed";  ///< passed, failed, error, skipped
  int code = kPassed;
  double milliseconds = 0;
  std::vector<std::string> messages;
  std::vector<std::string> steps;
  std::vector<std::string> events;
  std::vector<std::string> dispatch;  ///< order, and who waits for what
};

void finish(Outcome& o, std::string outcome, int code, std::vector<std::string> messages) {
  o.outcome = std::move(outcome);
  o.code = code;
  o.messages = std::move(messages);
}

std::optional<MachineRun> execute(Prepared const& p, std::string const& target, Outcome& o) {
  auto run = target == "qemu" ? run_on_qemu(p) : run_on_sim(p);
  if (!run) {
    finish(o, "error", kEnvironment, {run.error()});
    return std::nullopt;
  }
  o.steps = describe_results(p, *run);
  o.events = transcript(p, *run);
  o.dispatch = describe_dispatch(report_drivers(p, *run));
  auto problems = check(p, *run);
  if (!problems.empty()) {
    for (auto& p2 : problems) {
      p2 = target + ": " + p2;
    }
    finish(o, "failed", kFailed, std::move(problems));
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

void run_both(Prepared const& p, Outcome& o) {
  auto const sim = execute(p, "sim", o);
  if (!sim || o.code != kPassed) {
    return;
  }
  auto const sim_events = o.events;
  auto const sim_steps = o.steps;
  auto const qemu = execute(p, "qemu", o);
  if (!qemu || o.code != kPassed) {
    return;
  }
  auto problems = differences(sim_steps, o.steps);
  if (problems.empty()) {
    problems = differences(sim_events, o.events);
  }
  if (!problems.empty()) {
    finish(o, "failed", kFailed, std::move(problems));
  }
}

/// Where a scenario runs when `wanted` was asked for: a scenario for one machine runs on that one when both were.
/// Empty: nowhere.
std::string target_of(Scenario const& s, std::string const& wanted) {
  std::vector<std::string> const only = s.reference_profile ? std::vector<std::string>{"sim"} : s.targets;
  bool const fits = only.empty() || only.size() == 2 || std::ranges::find(only, wanted) != only.end();
  return fits ? wanted : wanted == "both" ? only.front() : "";
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
  auto prepared = prepare(std::move(*loaded), images);
  if (!prepared) {
    finish(o, "error", kBadInput, {prepared.error()});
    return o;
  }
  prepared->defects |= defects_of(options.defect);
  prepared->audit |= options.audit;
  if ((prepared->defects & supervisor::bit_of(supervisor::Check::RsmPrecheck)) != 0) {
    prepared->refused.reset();
  }
  o.target = target_of(prepared->scenario, options.target);
  if (o.target.empty()) {
    o.target = options.target;
    finish(o, "skipped", kSkipped, {"not for this target"});
  } else if (!refused(*prepared, o)) {
    auto const start = std::chrono::steady_clock::now();
    if (o.target == "both") {
      run_both(*prepared, o);
    } else {
      execute(*prepared, o.target, o);
    }
    o.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }
  o.messages.insert(o.messages.end(), prepared->warnings.begin(), prepared->warnings.end());
  return o;
}

void print_human(Outcome const& o, bool verbose) {
  char const* const code = o.outcome == "passed" ? "32" : o.outcome == "skipped" ? "33" : "31";
  std::cout << (colour() ? fmt::format("\x1b[{}m{:<7}\x1b[0m", code, o.outcome) : fmt::format("{:<7}", o.outcome))
            << fmt::format(" {} [{}] {:.1f} ms\n", o.scenario, o.target, o.milliseconds);
  bool const failed = o.code == kFailed;
  auto const print = [](std::vector<std::string> const& lines, std::size_t most) {
    std::size_t const from = lines.size() > most ? lines.size() - most : 0;
    if (from != 0) {
      std::cout << "    ... " << from << " more before (-v shows all)\n";
    }
    for (std::size_t i = from; i < lines.size(); ++i) {
      std::cout << "    " << lines[i] << '\n';
    }
  };
  if (verbose || failed) {
    print(o.events, verbose ? o.events.size() : 20);
    print(o.dispatch, o.dispatch.size());
    print(o.steps, o.steps.size());
  }
  for (auto const& message : o.messages) {
    std::cout << "  " << message << '\n';
  }
}

nlohmann::json to_json(Outcome const& o) {
  return {{"scenario", o.scenario}, {"target", o.target}, {"outcome", o.outcome},  {"milliseconds", o.milliseconds},
          {"messages", o.messages}, {"steps", o.steps},   {"dispatch", o.dispatch}};
}

std::string escaped(std::string const& text) {
  std::string out;
  for (char const c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 && c != '\n' ? ' ' : c;
    }
  }
  return out;
}

void write_junit(std::vector<Outcome> const& outcomes, fs::path const& file) {
  std::ofstream out{file};
  auto const count = [&](std::string_view what) { return std::ranges::count(outcomes, what, &Outcome::outcome); };
  out << fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"mmsim\" tests=\"{}\" failures=\"{}\" "
      "errors=\"{}\" "
      "skipped=\"{}\">\n",
      outcomes.size(), count("failed"), count("error"), count("skipped"));
  for (auto const& o : outcomes) {
    std::string text;
    for (auto const& m : o.messages) {
      text += m + "\n";
    }
    out << fmt::format("  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3f}\">", escaped(o.target),
                       escaped(o.scenario), o.milliseconds / 1000);
    if (o.outcome == "failed") {
      out << "<failure>" << escaped(text) << "</failure>";
    } else if (o.outcome == "error") {
      out << "<error>" << escaped(text) << "</error>";
    } else if (o.outcome == "skipped") {
      out << "<skipped/>";
    }
    out << "</testcase>\n";
  }
  out << "</testsuite>\n";
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

}  // namespace

u32 defects_of(std::string const& name) {
  auto const at = std::ranges::find(kCheckNames, name, [](auto const& entry) { return std::string{entry.first}; });
  return at == kCheckNames.end() ? 0 : supervisor::bit_of(at->second);
}

std::expected<std::vector<fs::path>, std::string> scenario_files(std::vector<fs::path> const& paths) {
  std::vector<fs::path> files;
  for (auto const& path : paths) {
    if (fs::is_regular_file(path)) {
      files.push_back(path);
      continue;
    }
    if (!fs::is_directory(path)) {
      return std::unexpected(path.string() + ": no such file or folder");
    }
    std::vector<fs::path> found;
    for (auto const& entry : fs::recursive_directory_iterator{path}) {
      if (entry.is_regular_file() && entry.path().extension() == ".toml") {
        found.push_back(entry.path());
      }
    }
    if (found.empty()) {
      return std::unexpected(path.string() + ": no scenario (.toml) in this folder");
    }
    std::ranges::sort(found);
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

bool colour() { return ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr; }

int run_command(RunOptions const& options) {
  if (!options.defect.empty() && (defects_of(options.defect) == 0 || options.target != "sim")) {
    std::cerr << fmt::format("mmsim: --defect {}: no such check, or not on this target\n", options.defect);
    return kBadInput;
  }
  if (options.audit && options.target == "qemu") {
    std::cerr << "mmsim: --audit looks into the simulator: use --target sim or both\n";
    return kBadInput;
  }
  auto const files = scenario_files(options.paths);
  if (!files) {
    std::cerr << "mmsim: " << files.error() << '\n';
    return kBadInput;
  }
  std::vector<Outcome> outcomes;
  for (auto const& file : *files) {
    outcomes.push_back(run_one(file, options));
    if (!options.json) {
      print_human(outcomes.back(), options.verbose);
    }
  }
  if (options.json) {
    nlohmann::json results = nlohmann::json::array();
    for (auto const& o : outcomes) {
      results.push_back(to_json(o));
    }
    std::cout << nlohmann::json{{"schema", 1}, {"results", results}}.dump() << '\n';
  }
  if (!options.junit.empty()) {
    write_junit(outcomes, options.junit);
  }
  if (!options.transcript.empty()) {
    std::ofstream out{options.transcript};
    for (auto const& o : outcomes) {
      out << "# " << o.scenario << " [" << o.target << "]\n";
      for (auto const& line : o.events) {
        out << line << '\n';
      }
    }
  }
  return exit_code(outcomes);
}

}  // namespace mm::runner
