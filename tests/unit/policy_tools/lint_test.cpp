// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy_advice/lint.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/policy_tools/example.hpp"
#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/xml.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

Entry entry(u64 base, u64 size, u32 attributes, u32 condition = 0) {
  return {.base = base, .size = size, .attributes = attributes, .condition = condition, .place = {}, .comments = {}};
}
Root list(Type type, bool deny, std::vector<Entry> entries = {}) {
  return {.type = type, .deny = deny, .entries = std::move(entries), .place = {}, .comments = {}};
}
/// Deny by default, with the given root in the place of its type's.
Policy strictest(std::vector<Root> const& instead = {}) {
  Policy out;
  for (auto const type : {Type::Io, Type::Msr, Type::Instruction, Type::SaveState, Type::Mem}) {
    auto const at = std::ranges::find(instead, type, &Root::type);
    out.roots.push_back(at != instead.end() ? *at : list(type, type == Type::Mem));
  }
  return out;
}
Policy without(Type type) {
  auto out = strictest();
  std::erase_if(out.roots, [&](Root const& r) { return r.type == type; });
  return out;
}
PolicyFile file(Policy const& policy) {
  return {.policy = policy, .blob = encode(policy), .xml = false, .wrapping = {}, .warnings = {}};
}
Levels both(Policy const& policy, std::vector<Region> const& regions = {}) {
  return levels_of(policy, {Vendor::Intel, Vendor::Amd}, regions);
}
bool has(LintResult const& r, Rule rule, std::string_view word = "") {
  return std::ranges::any_of(
      r.findings, [&](Finding const& f) { return f.rule == rule && f.text.find(word) != std::string::npos; });
}

TEST(PolicyLevels, AllowListsThatAllowNothingReachTheTop) {
  auto const levels = both(strictest());
  EXPECT_EQ(levels.level, 30u);
  EXPECT_TRUE(levels.assumed);
  EXPECT_EQ(levels.categories.size(), 5u);
}

TEST(PolicyLevels, MissingLists) {
  for (auto const& [type, level] : {std::pair{Type::Mem, 0u},
                                    {Type::Io, 10u},
                                    {Type::Msr, 10u},
                                    {Type::SaveState, 20u},
                                    {Type::Instruction, 30u}}) {
    EXPECT_EQ(both(without(type)).level, level) << static_cast<u32>(type);
  }
}

TEST(PolicyLevels, TheExampleIsForAmd) {
  auto const example = read_xml(test::kExamplePolicy)->policy;
  EXPECT_EQ(levels_of(example, {Vendor::Amd}, {}).level, 30u);
  auto const intel = levels_of(example, {Vendor::Intel}, {});
  EXPECT_EQ(intel.level, 10u);
  auto const msr = std::ranges::find(intel.categories, Type::Msr, &CategoryLevel::type);
  EXPECT_NE(msr->why.find("0xE4"), std::string::npos) << msr->why;
  EXPECT_TRUE(msr->place.line.has_value());
}

TEST(PolicyLevels, Ports) {
  struct Row {
    Root root;
    u32 level;
  };
  constexpr u32 kStrict = policy::kStrictWidth;
  for (auto const& [root, level] :
       {Row{list(Type::Io, true, {entry(0xCF8, 4, 2 | kStrict), entry(0xCFC, 4, 2)}), 30},
        Row{list(Type::Io, true, {entry(0xCF8, 8, 2)}), 30}, Row{list(Type::Io, true, {entry(0xCF8, 4, 2)}), 10},
        Row{list(Type::Io, true, {entry(0xCF8, 4, 1), entry(0xCFC, 4, 2)}), 10},
        Row{list(Type::Io, true, {entry(0xCF8, 2, 2 | kStrict), entry(0xCFC, 4, 2)}), 10},
        Row{list(Type::Io, true, {entry(0xCF8, 2, 2), entry(0xCFC, 4, 2)}), 10}, Row{list(Type::Io, true), 10},
        Row{list(Type::Io, false, {entry(0xCF8, 4, 1)}), 10}, Row{list(Type::Io, false, {entry(0xCFC, 2, 3)}), 30},
        Row{list(Type::Io, false, {entry(0xCFC, 1, 3 | kStrict)}), 30},
        Row{list(Type::Io, false, {entry(0, 0xFFFF, 3)}), 10}}) {
    EXPECT_EQ(both(strictest({root})).level, level);
  }
}

TEST(PolicyLevels, Msrs) {
  struct Row {
    Root root;
    u32 intel, amd;
  };
  for (auto const& [root, intel, amd] :
       {Row{list(Type::Msr, false, {entry(0x10, 1, 3)}), 30, 30},
        Row{list(Type::Msr, false, {entry(0x570, 1, 1)}), 20, 30},
        Row{list(Type::Msr, false, {entry(0xC001'1010, 1, 1)}), 30, 20},
        Row{list(Type::Msr, false, {entry(0x6A8, 1, 1)}), 30, 10},
        Row{list(Type::Msr, false, {entry(0xE0, 5, 1)}), 10, 30},
        Row{list(Type::Msr, true, {entry(0, 0xFFFF, 3)}), 30, 10},
        Row{list(Type::Msr, true, {entry(0, 0xFFFF, 2)}), 10, 10}, Row{list(Type::Msr, true), 10, 10}}) {
    EXPECT_EQ(levels_of(strictest({root}), {Vendor::Intel}, {}).level, intel);
    EXPECT_EQ(levels_of(strictest({root}), {Vendor::Amd}, {}).level, amd);
  }
}

TEST(PolicyLevels, SaveState) {
  struct Row {
    Root root;
    u32 level;
  };
  for (auto const& [root, level] :
       {Row{list(Type::SaveState, false, {entry(0, 1, 0x10, 2), entry(1, 1, 1)}), 30},
        Row{list(Type::SaveState, false, {entry(0, 1, 0x20, 1)}), 30},
        Row{list(Type::SaveState, false, {entry(0, 1, 1)}), 20},
        Row{list(Type::SaveState, false, {entry(0, 1, 0x10, 1)}), 20},
        Row{list(Type::SaveState, false, {entry(1, 1, 3)}), 20}, Row{list(Type::SaveState, true, {}), 0}}) {
    EXPECT_EQ(both(strictest({root})).level, level);
  }
}

TEST(PolicyLevels, MemoryOfAFetchedPolicy) {
  struct Row {
    Root root;
    u32 level;
  };
  std::vector<Region> const regions{{RegionKind::Code, 0x1000'0000, 0x1000},
                                    {RegionKind::Iommu, 0xFED9'0000, 0x1000},
                                    {RegionKind::Txt, 0x2000'0000, 0x1000}};
  for (auto const& [root, level] :
       {Row{list(Type::Mem, false), 30}, Row{list(Type::Mem, false, {entry(0x10'0000, 0x1000, 3)}), 30},
        Row{list(Type::Mem, false, {entry(0x10'0000, 0x1000, 7)}), 0},
        Row{list(Type::Mem, true, {entry(0, 0x1000, 1)}), 0},
        Row{list(Type::Mem, false, {entry(0xFFF'F000, 0x2000, 1)}), 0},
        Row{list(Type::Mem, false, {entry(0xFED9'0000, 0x10, 1)}), 30},
        Row{list(Type::Mem, false, {entry(0xFED9'0000, 0x10, 3)}), 10},
        Row{list(Type::Mem, false, {entry(0xFED0'0000, 0x10'0000, 3)}), 10},
        Row{list(Type::Mem, false, {entry(0xFED2'0000, 0x1000, 3)}), 20},
        Row{list(Type::Mem, false, {entry(0x2000'0800, 8, 2)}), 20}}) {
    auto const levels = both(strictest({root}), regions);
    EXPECT_EQ(levels.level, level);
    EXPECT_FALSE(levels.assumed);
  }
}

TEST(PolicyLint, WhatTheSupervisorRefusesHasLevelZeroAndItsLine) {
  auto const read = read_policy(std::as_bytes(std::span{std::string_view{
      "<P><SmmCategory name='MSR'><PolicyAccessAttribute Value='Allow'/>\n"
      "<PolicyEntry><StartAddress Value='5'/><Size Value='2'/><SecurityAttributes Value='Read'/></PolicyEntry>\n"
      "<PolicyEntry><StartAddress Value='6'/><Size Value='1'/><SecurityAttributes Value='Read'/></PolicyEntry>\n"
      "</SmmCategory></P>"}}));
  ASSERT_TRUE(read.has_value());
  auto const result = lint(*read, {});
  EXPECT_TRUE(result.refused);
  EXPECT_EQ(result.levels.level, 0u);
  ASSERT_TRUE(has(result, Rule::Refused, "overlaps"));
  EXPECT_EQ(result.findings[0].place.line, 3u);
  EXPECT_TRUE(has(result, Rule::Overlap, "entry 1 (line 2)"));
}

TEST(PolicyLint, Entries) {
  struct Row {
    Root root;
    Rule rule;
    std::string_view word;
  };
  for (auto const& [root, rule, word] :
       {Row{list(Type::Io, false, {entry(1, 1, 4)}), Rule::Empty, "IO entry 1"},
        Row{list(Type::Instruction, false, {entry(1, 1, 3)}), Rule::Empty, "INSTRUCTION entry 1"},
        Row{list(Type::SaveState, false, {entry(1, 1, 0)}), Rule::Empty, "SAVESTATE entry 1"},
        Row{list(Type::Io, false, {entry(4, 1, 1 | 8), entry(0, 8, 1)}), Rule::Overlap, "entry 2"},
        Row{list(Type::Io, false, {entry(4, 1, 1 | 8), entry(0, 8, 1)}), Rule::Shadowed, "entry 1"},
        Row{list(Type::Io, false, {entry(0x100, 33, 1)}), Rule::Wide, "33 ports"},
        Row{list(Type::Msr, false, {entry(0x800, 64, 1)}), Rule::Wide, "64 MSRs"},
        Row{list(Type::Msr, true, {entry(0x10, 1, 3)}), Rule::DenyList, "1 entries"},
        Row{list(Type::Msr, false, {entry(0xC000'0080, 4, 2)}), Rule::DangerousMsr, "0xC0000080"},
        Row{list(Type::Msr, true), Rule::DangerousMsr, "SMRR"}, Row{list(Type::Msr, true), Rule::DangerousMsr, "APIC"},
        Row{list(Type::Io, false, {entry(0xB2, 1, 2)}), Rule::DangerousPort, "0xB2"},
        Row{list(Type::Io, true), Rule::DangerousPort, "0xCFC"}}) {
    auto const result = lint(file(strictest({root})), {});
    EXPECT_TRUE(has(result, rule, word)) << info_of(rule).id << " " << word;
  }
}

TEST(PolicyLint, TheIoRecordNeedsRaxToo) {
  auto const trap = entry(1, 1, 1);
  EXPECT_TRUE(has(lint(file(strictest({list(Type::SaveState, false, {trap})})), {}), Rule::TrapOnly));
  EXPECT_FALSE(
      has(lint(file(strictest({list(Type::SaveState, false, {entry(0, 1, 0x10, 2), trap})})), {}), Rule::TrapOnly));
  EXPECT_FALSE(has(lint(file(strictest()), {}), Rule::TrapOnly));
}

TEST(PolicyLint, WhatIsFineIsNotFound) {
  auto const result = lint(file(strictest({list(Type::Io, false, {entry(0x3F8, 1, 2), entry(0x3FD, 1, 1)}),
                                           list(Type::Msr, false, {entry(0x1B, 1, 1)})})),
                           {});
  for (auto const& f : result.findings) {
    ADD_FAILURE() << info_of(f.rule).id << ": " << f.text;
  }
}

TEST(PolicyLint, MissingListsAndWarningsOfTheSource) {
  EXPECT_TRUE(has(lint(file(without(Type::SaveState)), {}), Rule::Missing, "SAVESTATE"));
  EXPECT_TRUE(has(lint(file(without(Type::Mem)), {}), Rule::Missing, "NOT_FOUND"));
  auto f = file(strictest());
  f.warnings.push_back({{.line = 7, .offset = {}}, "odd"});
  EXPECT_TRUE(has(lint(f, {}), Rule::Source, "odd"));
}

TEST(PolicyLint, RuleNamesAreInTheOrderOfTheRules) {
  for (std::size_t i = 0; i < rules().size(); ++i) {
    EXPECT_EQ(static_cast<std::size_t>(rules()[i].rule), i);
    EXPECT_EQ(&info_of(rules()[i].rule), &rules()[i]);
  }
}

}  // namespace
}  // namespace mm::policy_tools
