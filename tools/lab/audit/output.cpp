// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/audit/output.hpp"

#include <fmt/format.h>

namespace mm::audit {
namespace {

/// Terminal colour of a region: code green, writable yellow, read-only blue; bold when it is ring 3's.
std::string painted(std::string const& line, memory::PageAttr attr) {
  char const* const hue = attr.executable ? "32" : attr.writable ? "33" : "34";
  return fmt::format("\x1b[{}{}m{}\x1b[0m", attr.user ? "1;" : "", hue, line);
}

}  // namespace

std::string text(Report const& report, bool colour) {
  std::string out = fmt::format("{:<12} {:>6}  {:<15} {}\n", "base", "pages", "rights", "owner");
  for (Region const& r : report.regions) {
    auto const rights = rights_text(r.attr);
    auto const blank = rights.find(' ');
    auto const line =
        fmt::format("{:#012x} {:>6}  {:<4}{:<11} {}", r.range.base, r.range.size / kPageSize, rights.substr(0, blank),
                    rights.substr(blank + 1), r.owner.empty() ? "(nobody's)" : r.owner);
    out += (colour ? painted(line, r.attr) : line) + "\n";
  }
  out += "\n";
  for (RuleResult const& r : report.rules) {
    bool const holds = r.offences.empty();
    std::string const verdict = fmt::format("{:<6}", holds ? "holds" : "BROKEN");
    out += fmt::format("{} {:<22} {} [{}]\n",
                       colour ? fmt::format("\x1b[{}m{}\x1b[0m", holds ? 32 : 31, verdict) : verdict, r.rule->name,
                       r.rule->text, r.rule->source);
    for (Offence const& o : r.offences) {
      out += fmt::format("       {}: {} (after MMI {})\n", range_text(o.range), o.what, o.mmi);
    }
  }
  return out;
}

nlohmann::json json(Report const& report) {
  using nlohmann::json;
  json regions = json::array();
  for (Region const& r : report.regions) {
    regions.push_back({{"base", r.range.base},
                       {"pages", r.range.size / kPageSize},
                       {"writable", r.attr.writable},
                       {"executable", r.attr.executable},
                       {"user", r.attr.user},
                       {"kind", kind_name(r.kind)},
                       {"owner", r.owner}});
  }
  json rules = json::array();
  for (RuleResult const& r : report.rules) {
    json offences = json::array();
    for (Offence const& o : r.offences) {
      offences.push_back({{"base", o.range.base}, {"bytes", o.range.size}, {"what", o.what}, {"mmi", o.mmi}});
    }
    rules.push_back({{"name", r.rule->name},
                     {"text", r.rule->text},
                     {"source", r.rule->source},
                     {"holds", r.offences.empty()},
                     {"offences", offences}});
  }
  return {{"passed", report.passed()},
          {"audits", report.audits},
          {"mmram", {{"base", report.mmram.base}, {"bytes", report.mmram.size}}},
          {"regions", regions},
          {"rules", rules}};
}

}  // namespace mm::audit
