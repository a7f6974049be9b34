// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/audit/rules.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/sim/booted.hpp"
#include "tools/lab/audit/output.hpp"

namespace mm::audit {
namespace {

using namespace sim::test;

Facts facts(sim::Simulator const& machine) {
  return facts_of(machine, [](Guid const& guid) { return lab::guid_name(guid); });
}
std::string broken(Report const& report) {
  std::string out;
  for (auto const& r : report.rules) {
    for (auto const& o : r.offences) {
      out += std::string{r.rule->name} + " " + range_text(o.range) + " " + o.what + "\n";
    }
  }
  return out;
}

TEST(Audit, EveryMmiOfABootWithAllDriversKeepsThePagesApart) {
  Booted b({"Hello", "Second", "HelloSupervised", "Attacker", "ApUser", "FaultAtEntry", "ErrorAtEntry", "DepexA",
            "DepexB", "Waiting"},
           "cpus = 4\nfault_policy = \"contain\"\n");
  Report report;
  auto const after = [&](char const* what) {
    SCOPED_TRACE(what);
    EXPECT_FALSE(b.sim->halted().has_value());
    EXPECT_TRUE(b.sim->double_fetches().empty());
    audit(facts(*b.sim), report);
    EXPECT_EQ(broken(report), "");
  };
  after("first MMI");
  b.dispatch();
  after("dispatch");
  EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
  after("Hello");
  b.send(kApUser, std::array<u64, 3>{});
  after("procedures on the other CPUs");
  EXPECT_EQ(b.unblock(platform::kScratch, 2), 0u);
  after("unblock");
  b.send(kAttacker, std::array<u64, 3>{16, 7, 0});
  after("pages allocated and freed");
  b.send(guids::gEfiEndOfDxeEventGroupGuid, std::string_view{"\0", 1});
  after("end of DXE");
  b.send(kAttacker, std::array<u64, 3>{1, b.sim->layout().supervisor_base, 0});
  after("contained attack");
  EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
  after("Hello again");
  EXPECT_EQ(report.audits, 9u);
}

// --- each rule is broken by a fact that breaks it --------------------------------------------------------------------

/// The facts of a machine in good order: a driver, two CPUs, an unblocked region. Booted once.
Facts const& good() {
  static Facts const kept = [] {
    Booted b({"Hello"});
    b.dispatch();
    EXPECT_EQ(b.unblock(platform::kScratch, 2), 0u);
    return facts(*b.sim);
  }();
  return kept;
}
Leaf& leaf_at(Facts& f, u64 address) {
  return *std::ranges::find_if(f.leaves, [&](Leaf const& l) { return l.range.contains({address, 1}); });
}
Part& part_of(Facts& f, Kind kind) { return *std::ranges::find(f.parts, kind, &Part::kind); }
void add_leaf(Facts& f, u64 address, memory::PageAttr attr) {
  f.leaves.push_back({{address, kPageSize}, address, attr});
  std::ranges::sort(f.leaves, {}, [](Leaf const& l) { return l.range.base; });
}
/// Names of the rules that the changed facts break.
std::vector<std::string> broken_by(void (*change)(Facts&)) {
  Facts f = good();
  change(f);
  Report report;
  audit(f, report);
  std::vector<std::string> out;
  for (auto const& r : report.rules) {
    if (!r.offences.empty()) {
      out.emplace_back(r.rule->name);
    }
  }
  return out;
}
struct Case {
  std::string_view rule;
  void (*change)(Facts&);
};
constexpr Case kCases[] = {
    {"write-xor-execute", [](Facts& f) { leaf_at(f, part_of(f, Kind::EntryCode).range.base).attr.writable = true; }},
    {"mmram-reserved", [](Facts& f) { f.reserved.clear(); }},
    {"mmram-reserved", [](Facts& f) { f.system_memory.push_back(f.mmram); }},
    {"memory-not-mapped", [](Facts& f) { add_leaf(f, platform::kScratch + 0x10'0000, memory::kUserData); }},
    {"execute-in-mmram", [](Facts& f) { leaf_at(f, platform::kScratch).attr = memory::kUserCode; }},
    {"image-sections", [](Facts& f) { leaf_at(f, f.sections.front().range.base).attr = memory::kSupervisorData; }},
    {"one-to-one", [](Facts& f) { f.leaves.back().physical ^= kPageSize; }},
    {"one-to-one", [](Facts& f) { f.tables.push_back(f.tables.back()); }},
    {"one-to-one", [](Facts& f) { f.bad_tables.push_back({u64{1} << 40, kPageSize}); }},
    {"opened-regions", [](Facts& f) { add_leaf(f, 0xFEE0'0000, memory::kUserData); }},
    {"supervisor-private", [](Facts& f) { leaf_at(f, part_of(f, Kind::SaveState).range.base).attr.user = true; }},
    {"page-tables", [](Facts& f) { leaf_at(f, f.tables.front()).attr.writable = true; }},
    {"page-tables", [](Facts& f) { f.tables.front() = platform::kScratch; }},
    {"entry-and-save-state",
     [](Facts& f) { leaf_at(f, part_of(f, Kind::SaveState).range.base).attr.writable = false; }},
    {"descriptor-tables", [](Facts& f) { leaf_at(f, part_of(f, Kind::Descriptors).range.base).attr.writable = true; }},
    {"stacks-and-data", [](Facts& f) { leaf_at(f, part_of(f, Kind::Stack).range.base).attr.executable = true; }},
    {"stacks-and-data", [](Facts& f) { leaf_at(f, platform::kUserCommBuffer).attr.user = true; }},
    {"null-page", [](Facts& f) { add_leaf(f, 0, memory::kSupervisorData); }},
    {"guard-pages", [](Facts& f) { add_leaf(f, f.guards.front().base, memory::kSupervisorData); }},
    {"parts-apart", [](Facts& f) { f.parts[1].range.base = f.parts[0].range.base; }},
    {"no-stray-pages", [](Facts& f) { std::erase_if(f.parts, [](Part const& p) { return p.kind == Kind::Stack; }); }},
    {"smrr-is-mmram", [](Facts& f) { f.smrr = {f.mmram, {}}; }},
    {"smrr-is-mmram", [](Facts& f) { f.smrr = {{f.mmram.base, f.mmram.size / 2}}; }},
};

TEST(AuditRules, HoldEveryCheckOfThePagingAudit) {
  for (int check = 1; check <= 5; ++check) {
    EXPECT_EQ(std::ranges::count(rules(), "MmPagingAudit " + std::to_string(check), &Rule::source), 1) << check;
  }
}

TEST(AuditRules, AreEachBrokenBySomething) {
  for (Rule const& rule : rules()) {
    EXPECT_TRUE(std::ranges::any_of(kCases, [&](Case const& c) { return c.rule == rule.name; })) << rule.name;
  }
  for (Case const& c : kCases) {
    auto const names = broken_by(c.change);
    EXPECT_TRUE(std::ranges::find(names, c.rule) != names.end()) << c.rule;
  }
  EXPECT_TRUE(broken_by([](Facts&) {}).empty());
}

TEST(AuditReport, TellsAnOffenceOnceWithTheMmiThatShowedIt) {
  Facts f = good();
  Report report;
  audit(f, report);
  add_leaf(f, 0, memory::kSupervisorData);
  audit(f, report);
  audit(f, report);
  auto const at = std::ranges::find(report.rules, "null-page", [](RuleResult const& r) { return r.rule->name; });
  ASSERT_EQ(at->offences.size(), 1u);
  EXPECT_EQ(at->offences[0].mmi, 2u);
  EXPECT_EQ(report.audits, 3u);
  EXPECT_FALSE(report.passed());
}

TEST(AuditReport, MergesNeighboursIntoOneOffence) {
  Facts f = good();
  for (u64 i = 0; i < 3; ++i) {
    add_leaf(f, 0xFEE0'0000 + i * kPageSize, memory::kUserData);
  }
  Report report;
  audit(f, report);
  auto const at = std::ranges::find(report.rules, "opened-regions", [](RuleResult const& r) { return r.rule->name; });
  ASSERT_EQ(at->offences.size(), 1u);
  EXPECT_EQ(at->offences[0].range, (Range{0xFEE0'0000, 3 * kPageSize}));
}

TEST(AuditOutput, NamesRegionsAndRules) {
  Report report;
  audit(good(), report);
  auto const plain = text(report, false);
  EXPECT_NE(plain.find("ring-0 stack of CPU 1"), std::string::npos);
  EXPECT_NE(plain.find("holds  write-xor-execute"), std::string::npos);
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  EXPECT_NE(text(report, true).find('\x1b'), std::string::npos);
  EXPECT_EQ(json(report)["rules"].size(), rules().size());
  EXPECT_EQ(json(report)["passed"], true);
}

TEST(AuditOutput, PageEscapesWhatItDidNotWrite) {
  Report report;
  audit(good(), report);
  auto const html = page({{"a <b> & \"c\"", report}});
  EXPECT_NE(html.find("a &lt;b&gt; &amp; &quot;c&quot;"), std::string::npos);
  EXPECT_EQ(html.find("<b>"), std::string::npos);
}

}  // namespace
}  // namespace mm::audit
