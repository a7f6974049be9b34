// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/fuzz/reports.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/lab/text/json_text.hpp"
#include "tools/lab/text/sarif.hpp"
#include "tools/runner/report.hpp"

namespace mm::runner {
namespace {

using nlohmann::json;

std::string head_of(ToldFinding const& told) {
  return fmt::format("{} in {}: {}", lab::oracle_name(told.finding.oracle), told.place, told.finding.what);
}

/// What a person does with it.
std::string replay_of(ToldFinding const& told) {
  return told.scenario ? fmt::format("mmsim run {} --target=both", told.scenario->string())
                       : fmt::format("mmsim repro {}", told.input.string());
}

json result_of(ToldFinding const& told) {
  auto const rule = std::ranges::find(lab::kOracles, told.finding.oracle, &lab::OracleName::oracle);
  auto const file = told.code.file.empty() ? told.finding.image + ".efi" : told.code.file;
  json const region = told.code.line == 0 ? json(nullptr) : json{{"startLine", told.code.line}};
  // Neither line nor offset is in the text, so that a service knows the finding again when code has moved.
  auto const text = fmt::format("{} in {}{}{}: {}", rule->name, told.finding.image,
                                told.code.function.empty() ? "" : ", ", told.code.function, told.finding.what);
  auto result = lab::sarif_result(rule->name, static_cast<u64>(rule - lab::kOracles.begin()), "error", text,
                                  lab::sarif_location(lab::artifact_uri(file), region, told.code.function));
  result["properties"] = {{"place", told.place}, {"replay", replay_of(told)}};
  return result;
}

std::string test_case(std::string const& machine, std::string const& name, std::string const& content) {
  return fmt::format("  <testcase classname=\"fuzz driver {}\" name=\"{}\">{}</testcase>\n", xml_text(machine),
                     xml_text(name), content);
}

}  // namespace

std::string driver_sarif(DriverReport const& report) {
  json rules = json::array();
  for (auto const& one : lab::kOracles) {
    rules.push_back({{"id", one.name}, {"shortDescription", {{"text", one.about}}}});
  }
  json results = json::array();
  for (auto const& told : report.findings) {
    results.push_back(result_of(told));
  }
  return lab::json_text(lab::sarif_log("mmsim fuzz driver", std::move(rules), std::move(results)),
                        lab::JsonForm::Indented);
}

std::string driver_junit(DriverReport const& report) {
  std::string cases;
  for (auto const& told : report.findings) {
    cases += test_case(report.machine, told.finding.key(),
                       fmt::format("<failure message=\"{}\" type=\"{}\">{}</failure>", xml_text(head_of(told)),
                                   lab::oracle_name(told.finding.oracle), xml_text(finding_text(told, 1))));
  }
  for (auto const& path : report.crashes) {
    cases += test_case(report.machine, path.filename().string(),
                       fmt::format("<error message=\"not the driver but what runs it\">{}</error>",
                                   xml_text("mmsim repro " + path.string())));
  }
  std::size_t const bad = report.findings.size() + report.crashes.size();
  if (bad == 0) {
    cases = test_case(report.machine, "nothing found",
                      fmt::format("<system-out>{}</system-out>", xml_text(report.summary)));
  }
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"mmsim fuzz driver\" tests=\"{}\" "
      "failures=\"{}\" errors=\"{}\">\n{}</testsuite>\n",
      std::max<std::size_t>(bad, 1), report.findings.size(), report.crashes.size(), cases);
}

std::expected<void, std::string> write_report(std::filesystem::path const& file, std::string const& text) {
  return file.empty() ? std::expected<void, std::string>{} : lab::write_file(file, std::as_bytes(std::span{text}));
}

}  // namespace mm::runner
