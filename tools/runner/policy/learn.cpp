// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <optional>

#include "core/abi/guids.hpp"
#include "tools/lab/judge/check.hpp"
#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/names.hpp"
#include "tools/lab/policy/xml.hpp"
#include "tools/lab/policy_advice/explain.hpp"
#include "tools/lab/policy_advice/lint.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/scenario/messages.hpp"
#include "tools/lab/tell/accesses.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/policy/report.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using namespace mm::policy_tools;
using lab::Prepared;
using lab::Scenario;
using nlohmann::json;

/// What one run gave: passed, or the first thing that was not as expected.
struct Verdict {
  bool passed = false;
  std::string why;
};

struct Learning {
  fs::path file;
  Scenario scenario;
  std::string skipped;  ///< why nothing can be learnt from it; empty: it was run
  std::vector<Need> needs;
  Verdict before, after;
};

/// A scenario whose supervisor does not start, or whose policy cannot be replaced, teaches nothing.
std::string why_skipped(Scenario const& s) {
  if (!lab::is_for(s, lab::Target::Sim)) {
    return "not for the simulator";
  }
  if (std::ranges::any_of(s.images, [](auto const& i) { return i.fv.has_value(); })) {
    return "a whole volume brings its own policy";
  }
  if (policy::validate(s.policy).problem != policy::Problem::None) {
    return "the supervisor refuses its policy";
  }
  return s.expect.refused_image ? "it expects that an image is refused" : "";
}

struct Run {
  Prepared prepared;
  lab::MachineRun run;
};

/// Error: the images, or the environment.
std::expected<Run, std::string> run_with(Scenario s, Bytes policy) {
  s.policy = std::move(policy);
  auto prepared = lab::prepare(std::move(s), images_folder());
  if (!prepared) {
    return std::unexpected(prepared.error());
  }
  if (prepared->refused) {
    return std::unexpected(*prepared->refused);
  }
  auto run = lab::simulator().run(*prepared);
  if (!run) {
    return std::unexpected(run.error());
  }
  return Run{std::move(*prepared), std::move(*run)};
}

std::expected<Verdict, std::string> verdict(Scenario const& s, Bytes policy) {
  auto const done = run_with(s, std::move(policy));
  if (!done) {
    return std::unexpected(done.error());
  }
  auto const problems = lab::check(done->prepared, done->run);
  return Verdict{problems.empty(), problems.empty() ? "" : problems.front().text};
}

/// Runs under the scenario's own policy for the verdict, and under one that refuses nothing for the accesses.
std::expected<void, std::string> record(Learning& l, bool keep_refusals) {
  auto before = verdict(l.scenario, l.scenario.policy);
  if (!before) {
    return std::unexpected(before.error());
  }
  l.before = std::move(*before);
  auto open = run_with(l.scenario, encode(permissive_policy()));
  if (!open) {
    return std::unexpected(open.error());
  }
  open->prepared.scenario.policy = l.scenario.policy;  // whose refusals are marked
  l.needs = lab::recorded_accesses(open->prepared, open->run);
  for (auto& need : l.needs) {
    need.place = l.file.filename().string() + ", " + need.place;
  }
  if (keep_refusals) {
    std::erase_if(l.needs, &Need::refused_before);
  }
  return {};
}

std::expected<std::vector<Learning>, std::string> load(std::vector<fs::path> const& paths) {
  auto const files = scenario_files(paths);
  if (!files) {
    return std::unexpected(files.error());
  }
  std::vector<Learning> out;
  for (auto const& file : *files) {
    auto loaded = lab::load_scenario(file, images_folder());
    if (!loaded) {
      return std::unexpected(loaded.error());
    }
    auto& l = out.emplace_back();
    l.file = file;
    l.skipped = why_skipped(*loaded);
    l.scenario = std::move(*loaded);
  }
  return out;
}

/// The policy as a normal world would fetch it from a machine with these drivers: with the memory list filled.
std::optional<PolicyFile> fetched(Scenario s, Bytes policy) {
  constexpr u64 kRoom = 0x8000;
  constexpr u32 kFetchPolicy = static_cast<u32>(abi::SupervisorRequest::FetchPolicy);
  lab::Message message{.to = guids::gMmSupervisorRequestHandlerGuid, .data = {}, .channel = abi::Channel::Supervisor};
  lab::append_text(message.data, "MSUP");
  lab::append_int(message.data, 1, 4);
  lab::append_int(message.data, kFetchPolicy, 4);
  message.data.resize(kRoom);
  auto step = lab::message_step(message);
  if (!step) {
    return std::nullopt;
  }
  s.steps = {std::move(*step)};
  s.expect = {};
  auto const done = run_with(std::move(s), std::move(policy));
  auto const* const reply = done ? lab::outcome_of(done->prepared, done->run, 0) : nullptr;
  constexpr u64 kHeaders = sizeof(abi::CommunicateHeader) + sizeof(abi::SupervisorRequestHeader);
  if (reply == nullptr || reply->data.size() < kHeaders) {
    return std::nullopt;
  }
  auto file = read_policy(std::span{reply->data}.subspan(kHeaders));
  return file ? std::optional{std::move(*file)} : std::nullopt;
}

std::vector<std::string> heading(std::vector<Learning> const& all) {
  std::vector<std::string> out{"Learnt by mmsim policy learn. What no scenario made a driver do is refused. From:"};
  for (auto const& l : all) {
    if (l.skipped.empty()) {
      out.push_back(l.file.filename().string());
    }
  }
  return out;
}

std::string outcome(Learning const& l) {
  if (!l.skipped.empty()) {
    return "skipped: " + l.skipped;
  }
  return l.after.passed ? "passes" : "fails: " + l.after.why;
}

struct Outcome {
  Policy policy;
  std::vector<std::string> notes;
  LintResult lint;
  bool lint_of_fetched = false;
};

void print(LearnOptions const& o, std::vector<Learning> const& all, Outcome const& result) {
  fmt::print("{:<40} {:>8}  {:<10} {}\n", "scenario", "accesses", "own policy", "learnt policy");
  for (auto const& l : all) {
    fmt::print("{:<40} {:>8}  {:<10} {}\n", l.file.filename().string(), l.needs.size(),
               !l.skipped.empty() ? "-"
               : l.before.passed  ? "passes"
                                  : "fails",
               outcome(l));
  }
  fmt::print("\n{}:\n", o.out.string());
  bool any = false;
  for (auto const& root : result.policy.roots) {
    for (auto const& e : root.entries) {
      any = true;
      std::string comments;
      for (auto const& c : e.comments) {
        comments += (comments.empty() ? "" : "; ") + c;
      }
      fmt::print("  allow {:<40} {}\n", describe(root.type, e), comments);
    }
  }
  if (!any) {
    fmt::print("  allows nothing: no driver made an access that a policy decides\n");
  }
  for (auto const& note : result.notes) {
    fmt::print("note: {}\n", note);
  }
  fmt::print("level {}{}\n", result.lint.levels.level,
             result.lint_of_fetched ? ", of the policy as a machine with these drivers reports it"
                                    : ", if the memory policy reaches it too");
}

json to_json(LearnOptions const& o, std::vector<Learning> const& all, Outcome const& result) {
  json scenarios = json::array();
  for (auto const& l : all) {
    scenarios.push_back({{"scenario", l.file.string()},
                         {"accesses", l.needs.size()},
                         {"skipped", l.skipped},
                         {"passes_own_policy", l.before.passed},
                         {"passes_learnt_policy", l.after.passed},
                         {"why", l.after.why}});
  }
  json entries = json::array();
  for (auto const& root : result.policy.roots) {
    for (auto const& e : root.entries) {
      entries.push_back(
          {{"list", category_name(root.type)}, {"entry", describe(root.type, e)}, {"comments", e.comments}});
    }
  }
  return {{"schema", 1},
          {"output", o.out.string()},
          {"scenarios", scenarios},
          {"entries", entries},
          {"notes", result.notes},
          {"level", result.lint.levels.level},
          {"level_of_fetched", result.lint_of_fetched}};
}

/// The level of the policy with the memory of the first scenario, or without when it cannot be fetched.
void check_level(Outcome& result, Learning const& first, Bytes const& blob) {
  auto const file = fetched(first.scenario, blob);
  result.lint_of_fetched = file.has_value();
  result.lint = lint(file ? *file : read_policy(blob).value(), {});
}

}  // namespace

int learn_command(LearnOptions const& o) {
  auto all = load(o.paths);
  if (!all) {
    return complain(all.error());
  }
  std::vector<Need> needs;
  for (auto& l : *all) {
    if (!l.skipped.empty()) {
      continue;
    }
    if (auto const done = record(l, o.keep_refusals); !done) {
      return complain(l.file.string() + ": " + done.error());
    }
    needs.insert(needs.end(), l.needs.begin(), l.needs.end());
  }
  auto const first = std::ranges::find_if(*all, [](Learning const& l) { return l.skipped.empty(); });
  if (first == all->end()) {
    return complain("policy learn: none of these scenarios can teach a policy: " + all->front().skipped);
  }
  auto learnt = learn(needs, o.strict_width);
  auto const xml = write_xml(learnt.policy, heading(*all));
  if (auto const done = lab::write_file(o.out, std::as_bytes(std::span{xml})); !done) {
    return complain(done.error());
  }
  // What is run is what was written.
  auto const blob = compile_policy(xml);
  if (!blob || refusal(*blob)) {
    return complain("policy learn: wrote a policy that the supervisor refuses", kEnvironment);
  }
  bool lost = false;
  for (auto& l : *all) {
    if (!l.skipped.empty()) {
      continue;
    }
    auto after = verdict(l.scenario, *blob);
    if (!after) {
      return complain(l.file.string() + ": " + after.error(), kEnvironment);
    }
    l.after = std::move(*after);
    lost = lost || (l.before.passed && !l.after.passed);
  }
  Outcome result{.policy = std::move(learnt.policy), .notes = std::move(learnt.notes), .lint = {}};
  check_level(result, *first, *blob);
  if (o.json) {
    std::cout << lab::json_text(to_json(o, *all, result), lab::JsonForm::Indented);
  } else {
    print(o, *all, result);
  }
  return lost ? kFailed : kPassed;
}

}  // namespace mm::runner
