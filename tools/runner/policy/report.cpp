// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/policy/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "core/policy/foundation.hpp"
#include "tools/lab/policy/names.hpp"
#include "tools/lab/text/sarif.hpp"

namespace mm::runner {
namespace {

using namespace mm::policy_tools;
using nlohmann::json;

void put_place(json& to, Place const& place) {
  if (place.line) {
    to["line"] = *place.line;
  }
  if (place.offset) {
    to["offset"] = *place.offset;
  }
}

/// "file:12", "file at 0xB8" or "file".
std::string spot(std::string const& file, Place const& place) {
  return place.line     ? fmt::format("{}:{}", file, *place.line)
         : place.offset ? fmt::format("{} at byte {}", file, hex(*place.offset))
                        : file;
}

std::string list_name(CategoryLevel const& c) {
  return fmt::format("{}{}", category_name(c.type), c.vendor ? fmt::format(" ({})", vendor_name(*c.vendor)) : "");
}

std::string list_reason(CategoryLevel const& c) {
  return c.assumed ? "not stated: the supervisor fills it from the page tables when the policy is fetched" : c.why;
}

json location_of(std::string const& file, Place const& place) {
  json region;
  if (place.line) {
    region = {{"startLine", *place.line}};
  } else if (place.offset) {
    region = {{"byteOffset", *place.offset}, {"byteLength", 1}};
  }
  return lab::sarif_location(lab::artifact_uri(file), std::move(region));
}

std::string sentence(Finding const& f) { return f.remedy.empty() ? f.text : fmt::format("{}. {}", f.text, f.remedy); }

}  // namespace

// --- lint -----------------------------------------------------------------------------------------------------------
void print_lint(std::string const& file, LintResult const& result) {
  fmt::print("{}: level {}{}\n\n", file, result.levels.level,
             result.refused          ? ", because the supervisor refuses this policy"
             : result.levels.assumed ? ", if the memory policy reaches it too"
                                     : "");
  fmt::print("  {:<12} {:<6} {}\n", "list", "level", "because");
  for (auto const& c : result.levels.categories) {
    auto const line = fmt::format("  {:<12} {:<6} {}", list_name(c), fmt::format("{}{}", c.level, c.assumed ? "?" : ""),
                                  list_reason(c));
    fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
  }
  fmt::print("\n");
  for (std::size_t i = 0; i < result.findings.size(); ++i) {
    auto const& f = result.findings[i];
    auto const& info = info_of(f.rule);
    fmt::print("{}: {}: {} [{}]\n", spot(file, f.place), severity_name(info.severity), f.text, info.id);
    bool const same_follows = i + 1 < result.findings.size() && result.findings[i + 1].remedy == f.remedy;
    if (!f.remedy.empty() && !same_follows) {
      fmt::print("    {}\n", f.remedy);
    }
  }
}

json lint_json(std::string const& file, LintResult const& result) {
  json categories = json::array();
  for (auto const& c : result.levels.categories) {
    json one{{"list", category_name(c.type)}, {"level", c.level}, {"assumed", c.assumed}, {"because", list_reason(c)}};
    if (c.vendor) {
      one["vendor"] = vendor_name(*c.vendor);
    }
    put_place(one, c.place);
    categories.push_back(std::move(one));
  }
  json findings = json::array();
  for (auto const& f : result.findings) {
    auto const& info = info_of(f.rule);
    json one{{"rule", info.id}, {"severity", severity_name(info.severity)}, {"text", f.text}, {"remedy", f.remedy}};
    put_place(one, f.place);
    findings.push_back(std::move(one));
  }
  return {{"schema", 1},
          {"file", file},
          {"level", result.levels.level},
          {"assumes_memory", result.levels.assumed},
          {"refused", result.refused},
          {"lists", categories},
          {"findings", findings}};
}

json lint_sarif(std::string const& file, LintResult const& result) {
  json rule_list = json::array();
  for (auto const& r : rules()) {
    rule_list.push_back({{"id", r.id},
                         {"shortDescription", {{"text", r.summary}}},
                         {"defaultConfiguration", {{"level", severity_name(r.severity)}}}});
  }
  json results = json::array();
  for (auto const& f : result.findings) {
    auto const& info = info_of(f.rule);
    results.push_back(lab::sarif_result(info.id, static_cast<u64>(f.rule), severity_name(info.severity), sentence(f),
                                        location_of(file, f.place)));
  }
  return lab::sarif_log("mmsim policy lint", std::move(rule_list), std::move(results));
}

// --- core -----------------------------------------------------------------------------------------------------------
namespace {

struct CoreList {
  char const* kind;
  std::span<policy::Foundation const> rows;
};
constexpr std::array<CoreList, 4> kCoreLists{{{"MSR", policy::kFoundationMsrs},
                                              {"IO", policy::kFoundationPorts},
                                              {"PCI", policy::kFoundationPci},
                                              {"INSTRUCTION", policy::kFoundationInstructions}}};

}  // namespace

void print_core() {
  fmt::print(
      "What ring 0 stands on. Writes of it, and the instruction, are refused by the core, whatever a policy says.\n"
      "PCI: bus 0, device << 11 | function << 8 | register, by ports 0xCFC to 0xCFF while 0xCF8 names it.\n\n");
  for (auto const& list : kCoreLists) {
    for (auto const& row : list.rows) {
      auto const range = row.first == row.last ? hex(row.first) : fmt::format("{}-{}", hex(row.first), hex(row.last));
      fmt::print("{:<11} {:<21}  {}\n{:<35}{}\n", list.kind, range, row.name, "", row.why);
    }
  }
}

json core_json() {
  json rows = json::array();
  for (auto const& list : kCoreLists) {
    for (auto const& row : list.rows) {
      rows.push_back(
          {{"kind", list.kind}, {"first", row.first}, {"last", row.last}, {"name", row.name}, {"why", row.why}});
    }
  }
  return {{"schema", 1}, {"rows", rows}};
}

// --- explain --------------------------------------------------------------------------------------------------------
void print_explanation(std::string const& file, Policy const& policy, Access const& access, Explanation const& x) {
  fmt::print("{}: {}\n", describe(access), x.status == Status::Success ? "allowed" : "refused");
  fmt::print("  {}: {}\n", spot(file, x.entry ? x.place : x.list), x.reason);
  auto const* const root = find_root(policy, access.type);
  for (auto const& near : x.near_misses) {
    auto const& e = root->entries[near.entry];
    fmt::print("  {}: entry {} ({}) does not match: {}\n", spot(file, e.place), near.entry + 1, describe(root->type, e),
               near.why);
  }
}

json explanation_json(Policy const& policy, Access const& access, Explanation const& x) {
  json near_misses = json::array();
  auto const* const root = find_root(policy, access.type);
  for (auto const& near : x.near_misses) {
    json one{{"entry", near.entry + 1}, {"why", near.why}};
    put_place(one, root->entries[near.entry].place);
    near_misses.push_back(std::move(one));
  }
  json out{{"schema", 1},
           {"access", describe(access)},
           {"allowed", x.status == Status::Success},
           {"list", !x.has_root   ? "none"
                    : x.deny_list ? "deny"
                                  : "allow"},
           {"reason", x.reason},
           {"near_misses", near_misses}};
  if (x.entry) {
    out["entry"] = *x.entry + 1;
  }
  put_place(out, x.entry ? x.place : x.list);
  return out;
}

/// One change as a row: list, accesses, right.
std::string markdown_row(Change const& c) {
  bool const span = c.type != policy::Type::Instruction && c.type != policy::Type::SaveState;
  auto const where = !span               ? describe(c)
                     : c.first == c.last ? hex(c.first)
                                         : fmt::format("{}-{}", hex(c.first), hex(c.last));
  auto const width = c.width == 0 ? "" : fmt::format(", {} byte{}", c.width, c.width == 1 ? "" : "s");
  return fmt::format("| {} | {} | {}{} |\n", c.type == policy::Type::Mem ? "MEMORY" : category_name(c.type), where,
                     access_words(c.access), width);
}

// --- diff -----------------------------------------------------------------------------------------------------------
void print_difference(Difference const& difference) {
  for (bool const allowed : {true, false}) {
    bool first = true;
    for (auto const& c : difference.changes) {
      if (c.allowed == allowed) {
        fmt::print("{}  {}\n", first ? (allowed ? "newly allowed\n" : "newly refused\n") : "", describe(c));
        first = false;
      }
    }
  }
  if (difference.changes.empty()) {
    fmt::print("no difference\n");
  }
  for (auto const& note : difference.notes) {
    fmt::print("note: {}\n", note);
  }
}

std::string difference_markdown(Difference const& difference) {
  auto const allowed = std::ranges::count_if(difference.changes, &Change::allowed);
  auto const refused = static_cast<std::ptrdiff_t>(difference.changes.size()) - allowed;
  if (difference.changes.empty() && difference.notes.empty()) {
    return "### Policy: no difference\n";
  }
  std::string out = fmt::format("### Policy: {} newly allowed, {} newly refused\n", allowed, refused);
  for (bool const now : {true, false}) {
    if ((now ? allowed : refused) == 0) {
      continue;
    }
    out += fmt::format("\n**Ring 3 {}**\n\n| list | accesses | right |\n|---|---|---|\n",
                       now ? "may now" : "may no longer");
    for (auto const& c : difference.changes) {
      if (c.allowed == now) {
        out += markdown_row(c);
      }
    }
  }
  for (auto const& note : difference.notes) {
    out += fmt::format("\n> {}\n", note);
  }
  return out;
}

json difference_json(Difference const& difference) {
  json allowed = json::array();
  json refused = json::array();
  for (auto const& c : difference.changes) {
    json one{{"type", category_name(c.type)}, {"first", c.first}, {"last", c.last}, {"text", describe(c)}};
    if (c.width != 0) {
      one["width"] = c.width;
    }
    for (auto const& [bit, name] :
         {std::pair{policy::kRead, "read"}, {policy::kWrite, "write"}, {policy::kExecute, "execute"}}) {
      if ((c.access & bit) != 0) {
        one["access"].push_back(name);
      }
    }
    (c.allowed ? allowed : refused).push_back(std::move(one));
  }
  return {{"schema", 1}, {"newly_allowed", allowed}, {"newly_refused", refused}, {"notes", difference.notes}};
}

}  // namespace mm::runner
