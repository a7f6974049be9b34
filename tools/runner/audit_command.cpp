// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>

#include "tools/lab/audit/output.hpp"
#include "tools/lab/judge/check.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/lab/text/terminal.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using namespace mm::lab;

struct AuditOptions {
  std::vector<std::filesystem::path> paths;
  std::filesystem::path html;
  bool json = false;
  std::string defect;  ///< as of RunOptions
};

/// One scenario, or why it was not audited.
struct Audited {
  fs::path file;
  std::string name;
  std::optional<audit::Report> report;
  std::string ended;                  ///< as in audit::Named
  std::vector<std::string> problems;  ///< what of the scenario was not as expected
  std::string error;                  ///< why there is no report
  int code = kPassed;
};

Audited without_report(Audited one, int code, std::string error) {
  one.code = code;
  one.error = std::move(error);
  return one;
}

/// What of the scenario was not as expected.
std::vector<std::string> sentences(Prepared const& prepared, MachineRun const& run) {
  std::vector<std::string> out;
  for (auto& problem : check(prepared, run)) {
    out.push_back(std::move(problem.text));
  }
  return out;
}

/// How the machine ended before its last step; empty: it did not.
std::string ending_of(Prepared const& prepared, MachineRun const& run) {
  auto const how = run.halted  ? fmt::format("halted: {}", halt_name(*run.halted))
                   : run.ended ? fmt::format("ended: {}", end_name(*run.ended))
                               : std::string{};
  return how.empty() ? how : fmt::format("{}, {}", how, under_way(prepared, run));
}

Audited audit_one(fs::path const& file, u32 defects) {
  Audited one{file, file.stem().string(), {}, {}, {}, {}, kPassed};
  auto scenario = load_scenario(file, images_folder());
  if (!scenario) {
    return without_report(std::move(one), kBadInput, scenario.error());
  }
  one.name = scenario->name;
  auto const& targets = scenario->machines.targets;
  if (!targets.empty() && std::ranges::find(targets, "sim") == targets.end()) {
    return without_report(std::move(one), kSkipped, "not for the simulator");
  }
  auto prepared = prepare(std::move(*scenario), images_folder());
  if (!prepared) {
    return without_report(std::move(one), kBadInput, prepared.error());
  }
  if (prepared->refused) {
    bool const expected = prepared->scenario.expect.refused_image == prepared->refused_image;
    return without_report(std::move(one), expected ? kSkipped : kBadInput, *prepared->refused);
  }
  prepared->audit = true;
  prepared->defects |= defects;
  auto run = simulator().run(*prepared);
  if (!run) {
    return without_report(std::move(one), kEnvironment, run.error());
  }
  if (!run->audited) {
    // The scenario may be about a boot that fails: then there is no machine to look at.
    one.problems = sentences(*prepared, *run);
    int const code = one.problems.empty() ? kSkipped : kFailed;
    return without_report(std::move(one), code,
                          "the machine did not boot" + (run->text.empty() ? "" : ": " + run->text.back()));
  }
  one.report = std::move(run->audited);
  one.ended = ending_of(*prepared, *run);
  one.problems = sentences(*prepared, *run);
  one.code = one.report->passed() && one.problems.empty() ? kPassed : kFailed;
  return one;
}

void print(Audited const& one) {
  fmt::print("{}: {}\n", one.file.string(), one.name);
  if (!one.report) {
    fmt::print("  {}: {}\n\n", one.code == kSkipped ? "skipped" : "error", one.error);
    return;
  }
  auto const broken = std::ranges::count_if(one.report->rules, [](auto const& r) { return !r.offences.empty(); });
  fmt::print("{}\n{} of {} rules hold, {} MMIs audited\n", audit::text(*one.report, lab::is_coloured()),
             static_cast<std::ptrdiff_t>(one.report->rules.size()) - broken, one.report->rules.size(),
             one.report->audits);
  if (!one.ended.empty()) {
    fmt::print("  the machine {}\n", one.ended);
  }
  for (auto const& p : one.problems) {
    fmt::print("  {}\n", p);
  }
  fmt::print("\n");
}

nlohmann::json to_json(Audited const& one) {
  nlohmann::json out = one.report ? audit::json(*one.report) : nlohmann::json{{"passed", false}, {"error", one.error}};
  out["scenario"] = one.file.string();
  out["name"] = one.name;
  out["problems"] = one.problems;
  out["ended"] = one.ended;
  out["skipped"] = one.code == kSkipped;
  return out;
}

bool write_page(std::vector<Audited> const& all, fs::path const& file) {
  std::vector<audit::Named> named;
  for (Audited const& one : all) {
    if (one.report) {
      named.push_back({one.file.filename().string() + ": " + one.name, *one.report, one.ended});
    }
  }
  auto const html = audit::page(named);
  auto const done = write_file(file, std::as_bytes(std::span{html}));
  if (!done) {
    std::cerr << "mmsim: " << done.error() << '\n';
  }
  return done.has_value();
}

/// Bad input first, then the environment, then a broken rule; skipped when nothing was audited.
int exit_code(std::vector<Audited> const& all) {
  auto const has = [&](int code) { return std::ranges::any_of(all, [code](auto const& a) { return a.code == code; }); };
  for (int const code : {kBadInput, kEnvironment, kFailed, kPassed}) {
    if (has(code)) {
      return code;
    }
  }
  return kSkipped;
}

/// Runs scenarios on the simulator and audits the page tables after every MMI; kFailed when a rule is broken.
int audit_command(AuditOptions const& options) {
  if (auto const why = simulator().unavailable({})) {
    std::cerr << "mmsim: " << *why << '\n';
    return kEnvironment;
  }
  u32 const defects = defects_of(options.defect);
  auto const files = scenario_files(options.paths);
  if (!files || (defects == 0 && !options.defect.empty())) {
    std::cerr << "mmsim: " << (files ? "--defect " + options.defect + ": no such check" : files.error()) << '\n';
    return kBadInput;
  }
  std::vector<Audited> all;
  for (auto const& file : *files) {
    all.push_back(audit_one(file, defects));
    if (!options.json) {
      print(all.back());
    }
  }
  if (options.json) {
    nlohmann::json results = nlohmann::json::array();
    std::ranges::transform(all, std::back_inserter(results), to_json);
    std::cout << json_text({{"schema", 1}, {"results", results}});
  }
  if (!options.html.empty() && !write_page(all, options.html)) {
    return kBadInput;
  }
  return exit_code(all);
}

}  // namespace

Command add_audit_command(Arguments program) {
  auto const o = std::make_shared<AuditOptions>();
  auto audit = program.command("audit", "Run scenarios on the simulator and audit its page tables after every MMI");
  audit.option("PATH", o->paths, "Scenario files and folders").required();
  audit.flag("--json", o->json, "One JSON object on standard output instead of text");
  audit.option("--html", o->html, "Write a page with the memory map to this file");
  audit.option("--defect", o->defect, "Remove one check of the simulated machine").hidden();  // for tests
  audit.footer(
      "Exit code 1: a rule is broken.\n"
      "Example: mmsim audit scenarios/smoke/hello.toml --html map.html");
  return {audit, [o] { return audit_command(*o); }};
}

}  // namespace mm::runner
