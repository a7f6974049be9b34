// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "tools/lab/scan/scan_rules.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/lab/text/sarif.hpp"

/// What a scan found, as a verdict in words and as SARIF.
namespace mm::lab {
namespace {

/// The place in the image.
nlohmann::json image_location(ScanReport const& report, ScanFinding const& finding) {
  nlohmann::json region;
  if (finding.offset) {
    region = {{"byteOffset", *finding.offset}, {"byteLength", finding.bytes}};
  }
  constexpr std::string_view kVolumeAndDriver = "/#";  // '#' parts a volume from the driver in it
  return sarif_location(artifact_uri(report.name, kVolumeAndDriver), std::move(region), finding.function);
}

nlohmann::json sarif_of(ScanReport const& report, ScanFinding const& finding) {
  constexpr std::array kLevels{"error", "warning", "note"};
  bool const has_line = !finding.source.empty() && finding.line != 0;
  auto image = image_location(report, finding);
  auto result = sarif_result(
      finding.rule->id, static_cast<u64>(finding.rule - kRules.data()),
      kLevels[static_cast<std::size_t>(finding.rule->level)], finding.text,
      has_line ? sarif_location(artifact_uri(finding.source), {{"startLine", finding.line}}, finding.function) : image);
  if (has_line) {
    result["relatedLocations"] = nlohmann::json::array({std::move(image)});
  }
  return result;
}

}  // namespace

std::span<ScanRule const> scan_rules() { return kRules; }

bool ScanReport::has(ScanLevel level) const {
  return std::ranges::any_of(findings, [level](ScanFinding const& f) { return f.rule->level == level; });
}

std::string_view ScanReport::verdict() const {
  auto const any = [this](auto const& holds) {
    return std::ranges::any_of(
        findings, [&](ScanFinding const& f) { return holds(static_cast<Rule>(f.rule - kRules.data()), f); });
  };
  auto const faults = [](Rule rule) { return rule == kPolicy || rule == kPrivileged; };
  if (any([](Rule rule, auto&) { return rule <= kRsm; })) {
    return "does not run as it is: the loader refuses the image";
  }
  if (any([](Rule rule, auto&) { return rule == kDepex; })) {
    return "does not run as it is: it is loaded, but never dispatched";
  }
  if (any([&](Rule rule, auto&) { return rule < kUmip && !faults(rule); })) {
    return "does not run as it is: it is started, but misses what it asks of DXE";
  }
  if (any([&](Rule rule, auto& f) { return faults(rule) && f.at_start; })) {
    return "is loaded and started; it faults when it comes to such an instruction, in its entry point already or with "
           "a "
           "message";
  }
  if (any([&](Rule rule, auto&) { return faults(rule); })) {
    return "is loaded and starts; it faults when a message makes it execute such an instruction";
  }
  return "nothing that stands against a try";
}

std::string scan_sarif(std::vector<ScanReport> const& reports) {
  auto rules = nlohmann::json::array();
  for (auto const& rule : kRules) {
    rules.push_back({{"id", rule.id}, {"shortDescription", {{"text", rule.title}}}, {"help", {{"text", rule.advice}}}});
  }
  auto results = nlohmann::json::array();
  for (auto const& report : reports) {
    for (auto const& finding : report.findings) {
      results.push_back(sarif_of(report, finding));
    }
  }
  return json_text(sarif_log("mmsim scan", std::move(rules), std::move(results)), JsonForm::Indented);
}

}  // namespace mm::lab
