// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy/xml.hpp"

#include <gtest/gtest.h>

#include <span>

#include "core/policy/policy.hpp"
#include "tests/unit/policy_tools/example.hpp"
#include "tools/lab/policy/blob.hpp"

namespace mm::policy_tools {
namespace {

u64 number(Bytes const& from, std::size_t at, unsigned width) {
  u64 value = 0;
  for (unsigned i = 0; i < width; ++i) {
    value |= std::to_integer<u64>(from.at(at + i)) << (8 * i);
  }
  return value;
}

std::string category(std::string_view name, std::string_view entries) {
  return "<Policy>\n<SmmCategory name='" + std::string{name} + "'><PolicyAccessAttribute Value='Deny'/>\n" +
         std::string{entries} + "</SmmCategory></Policy>\n";
}
std::string span(std::string_view start, std::string_view size, std::string_view words = "Read") {
  return "<PolicyEntry><StartAddress Value='" + std::string{start} + "'/><Size Value='" + std::string{size} +
         "'/><SecurityAttributes Value='" + std::string{words} + "'/></PolicyEntry>\n";
}

TEST(PolicyXml, TheDefaultIsAnAllowList) {
  auto const file = read_xml(default_policy_xml());
  ASSERT_TRUE(file.has_value());
  for (auto const& root : file->policy.roots) {
    EXPECT_TRUE(!root.deny || root.type == policy::Type::Mem) << static_cast<u32>(root.type);
    for (auto const& entry : root.entries) {
      EXPECT_FALSE(entry.comments.empty()) << "entry " << entry.base << " has no reason";
    }
  }
  auto const blob = compile_policy(default_policy_xml());
  ASSERT_TRUE(blob.has_value());
  EXPECT_EQ(policy::validate(*blob), policy::Finding{});
}

TEST(PolicyXml, TheExampleHasTheOffsetsAndCountsOfTheReference) {
  auto const blob = compile_policy(test::kExamplePolicy);
  ASSERT_TRUE(blob.has_value()) << blob.error();
  ASSERT_EQ(blob->size(), 0x150u);
  EXPECT_EQ(number(*blob, 0, 4), 0x0001'0000u);
  EXPECT_EQ(number(*blob, 4, 4), 0x150u);
  EXPECT_EQ(number(*blob, 32, 4), 0x28u);
  EXPECT_EQ(number(*blob, 36, 4), 5u);
  constexpr u64 kRoots[][4] = {{2, 0xA0, 2, 1}, {3, 0xB0, 13, 1}, {4, 0x118, 3, 0}, {5, 0x130, 2, 0}, {1, 0x150, 0, 1}};
  for (std::size_t i = 0; i < 5; ++i) {
    std::size_t const at = 0x28 + 24 * i;
    EXPECT_EQ(number(*blob, at + 8, 4), kRoots[i][0]);
    EXPECT_EQ(number(*blob, at + 12, 4), kRoots[i][1]);
    EXPECT_EQ(number(*blob, at + 16, 4), kRoots[i][2]);
    EXPECT_EQ(number(*blob, at + 20, 1), kRoots[i][3]);
  }
  EXPECT_EQ(number(*blob, 0xA0, 8), 0x0000'000A'0004'0CF8u);
  EXPECT_EQ(number(*blob, 0xA8, 8), 0x0000'0002'0004'0CFCu);
  EXPECT_EQ(number(*blob, 0xB8, 8), 0x0007'0004'C000'0081u);
  EXPECT_EQ(policy::validate(*blob), policy::Finding{});
}

TEST(PolicyXml, AnyRootElementAndAnyDepthAreRead) {
  std::string const xml{"<A><B><C><SmmCategory name='IO'/></C></B></A>"};
  auto const read = read_xml(xml);
  ASSERT_TRUE(read.has_value()) << read.error().text;
  EXPECT_TRUE(find_root(read->policy, policy::Type::Io)->deny);
  ASSERT_NE(find_root(read->policy, policy::Type::Mem), nullptr);
}

TEST(PolicyXml, NumbersAreIntegerLiteralsOfPython) {
  struct Row {
    std::string_view text;
    u64 value;
  };
  for (auto const& [text, value] :
       {Row{"0xCF8", 0xCF8}, Row{"0XcF8", 0xCF8}, Row{" 12 ", 12}, Row{"0b101", 5}, Row{"0o17", 15}, Row{"1_000", 1000},
        Row{"0x_1F", 31}, Row{"+7", 7}, Row{"00", 0}, Row{"0xFFFF_FFFF", 0xFFFF'FFFF}}) {
    auto const read = read_xml(category("MSR", span(text, "1")));
    ASSERT_TRUE(read.has_value()) << text << ": " << read.error().text;
    EXPECT_EQ(read->policy.roots[0].entries[0].base, value) << text;
  }
  for (std::string_view const text : {"", " ", "x", "0x", "1__0", "1_", "_1", "010", "0x1G", "-1", "1.0", "0b2",
                                      "99999999999999999999", "0x1 2", "0x100000000"}) {
    EXPECT_FALSE(read_xml(category("MSR", span(text, "1"))).has_value()) << text;
  }
}

TEST(PolicyXml, WordsAreFoundAsTheFieldsToolFindsThem) {
  struct Row {
    std::string_view words;
    u32 bits;
    std::size_t warnings;
  };
  for (auto const& [words, bits, warnings] :
       {Row{"Read | Write", 3, 0}, Row{"LimitedRead|LimitedWrite", 0x30, 0}, Row{"Write | StrictWidth", 0xA, 0},
        Row{"Execute", 4, 0}, Row{"", 0, 0}, Row{"read", 0, 1}, Row{"ReadWrite", 3, 1},
        Row{"LimitedRead Write", 0x12, 1}, Row{"Read | Raed", 1, 1}}) {
    auto const read = read_xml(category("IO", span("1", "1", words)));
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->policy.roots[0].entries[0].attributes, bits) << words;
    EXPECT_EQ(read->warnings.size(), warnings) << words;
  }
}

TEST(PolicyXml, WhatItsAuthorHardlyMeantIsAWarningWithItsLine) {
  struct Row {
    std::string xml;
    u32 line;
    std::string_view word;
  };
  for (auto const& [xml, line, word] :
       {Row{"<P>\n<SmmCategory name='IO'/></P>", 2, "deny list"},
        Row{"<P><SmmCategory name='IO'>\n<PolicyAccessAttribute Value='allow'/></SmmCategory></P>", 2, "Deny"},
        Row{category("IO", "<PolicyEntri/>"), 3, "PolicyEntri"},
        Row{category("MSR", span("1", "1", "Read | StrictWidth")), 3, "StrictWidth"},
        Row{category("SAVESTATE",
                     "<PolicyEntry><SaveStateField Value='rax'/><SecurityAttributes Value='LimitedRead'/>\n"
                     "<AccessCondition Value='IO_WRITE'/></PolicyEntry>"),
            4, "UNCONDITIONAL"},
        Row{category("IO",
                     "<PolicyEntry><StartAddress Value='1'/><Size Value='1'/>\n<Size Value='2'/>"
                     "<SecurityAttributes Value='Read'/></PolicyEntry>"),
            4, "second"}}) {
    auto const read = read_xml(xml);
    ASSERT_TRUE(read.has_value()) << read.error().text;
    ASSERT_EQ(read->warnings.size(), 1u) << xml;
    EXPECT_EQ(read->warnings[0].place.line, line) << xml;
    EXPECT_NE(read->warnings[0].text.find(word), std::string::npos) << read->warnings[0].text;
  }
}

TEST(PolicyXml, RefusesWhatItCannotEncodeWithItsLine) {
  struct Row {
    std::string xml;
    u32 line;
    std::string_view word;
  };
  std::string const size = "<Size Value='1'/><SecurityAttributes Value='Read'/></PolicyEntry>";
  for (auto const& [xml, line, word] :
       {Row{"<a>\n<b></a>", 2, "well-formed"}, Row{"", 1, "well-formed"}, Row{"<a/>\n<b/>", 2, "second root element"},
        Row{"<Other/>", 1, "Other"}, Row{"<a>\n<SmmCategory name='PCI'/></a>", 2, "PCI"},
        Row{"<a>\n<SmmCategory/></a>", 2, "none of"},
        Row{"<a><SmmCategory name='IO'/>\n<SmmCategory name='IO'/></a>", 2, "line 1"},
        Row{"<a><SmmCategory name='IO'>\n<PolicyAccessAttribute/></SmmCategory></a>", 2, "no Value"},
        Row{category("IO", span("1", "0")), 3, "Size is 0"}, Row{category("IO", span("0x10000", "1")), 3, "0xFFFF"},
        Row{category("IO", span("1", "0x10000")), 3, "Size"}, Row{category("IO", span("zz", "1")), 3, "zz"},
        Row{category("IO", "<PolicyEntry>" + size), 3, "StartAddress is missing"},
        Row{category("MSR", "\n<PolicyEntry><StartAddress/>" + size), 4, "StartAddress has no Value"},
        Row{category("IO", "<PolicyEntry><StartAddress Value='1'/><Size Value='1'/></PolicyEntry>"), 3,
            "SecurityAttributes is missing"},
        Row{category("INSTRUCTION", "<PolicyEntry><Instruction Value='RSM'/></PolicyEntry>"), 3, "RSM"},
        Row{category("SAVESTATE", "<PolicyEntry><SaveStateField Value='RBX'/></PolicyEntry>"), 3, "RBX"}}) {
    auto const read = read_xml(xml);
    ASSERT_FALSE(read.has_value()) << xml;
    EXPECT_EQ(read.error().place.line, line) << xml;
    EXPECT_NE(read.error().text.find(word), std::string::npos) << read.error().text;
  }
  EXPECT_FALSE(read_xml("\xFF\xFE<").has_value());
  EXPECT_EQ(compile_policy("<a>\n<SmmCategory name='PCI'/></a>").error().substr(0, 7), "line 2:");
}

TEST(PolicyXml, CommentsAndHostileTextSurviveTheWay) {
  Policy policy;
  policy.roots.push_back({.type = policy::Type::Io, .deny = false, .entries = {}, .place = {}, .comments = {"a -- b"}});
  policy.roots[0].entries.push_back(
      {.base = 1, .size = 1, .attributes = 1, .condition = 0, .place = {}, .comments = {"x --> <Size/>", "---"}});
  auto const read = read_xml(write_xml(policy, {"made -- by hand -"}));
  ASSERT_TRUE(read.has_value()) << read.error().text;
  ASSERT_EQ(read->policy.roots[0].entries.size(), 1u);
  EXPECT_EQ(read->policy.roots[0].entries[0].comments[0], "x - > <Size/>");
  EXPECT_EQ(read->policy.roots[0].comments[0], "a -  b");
}

}  // namespace
}  // namespace mm::policy_tools
