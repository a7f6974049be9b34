// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy_advice/diff.hpp"

#include <gtest/gtest.h>

#include "tests/unit/policy_tools/generator.hpp"
#include "tools/lab/policy/blob.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

Policy one_list(Type type, bool deny, std::vector<Entry> entries) {
  Policy out;
  out.roots.push_back({.type = type, .deny = deny, .entries = std::move(entries), .place = {}, .comments = {}});
  return out;
}
Entry entry(u64 base, u64 size, u32 attributes) {
  return {.base = base, .size = size, .attributes = attributes, .condition = 0, .place = {}, .comments = {}};
}
std::vector<std::string> words(Difference const& d, bool allowed) {
  std::vector<std::string> out;
  for (auto const& c : d.changes) {
    if (c.allowed == allowed) {
      out.push_back(describe(c));
    }
  }
  return out;
}

TEST(PolicyDiff, MsrRangesAndRights) {
  auto const a = one_list(Type::Msr, false, {entry(0x10, 4, 1)});
  auto const b = one_list(Type::Msr, false, {entry(0x12, 4, 3)});
  auto const d = difference(a, b);
  EXPECT_EQ(words(d, true), (std::vector<std::string>{"MSR 0x12-0x15 write", "MSR 0x14-0x15 read"}));
  EXPECT_EQ(words(d, false), (std::vector<std::string>{"MSR 0x10-0x11 read"}));
  EXPECT_TRUE(difference(a, a).changes.empty());
}

TEST(PolicyDiff, TheTextMayDifferWhereTheDecisionsDoNot) {
  auto const a = one_list(Type::Msr, true, {entry(0x10, 2, 3), entry(0x12, 2, 3)});
  auto const b = one_list(Type::Msr, true, {entry(0x10, 4, 7)});
  EXPECT_TRUE(difference(a, b).changes.empty());
}

TEST(PolicyDiff, PortsByWidth) {
  auto const a = one_list(Type::Io, false, {entry(0xCF8, 4, 2)});
  auto const b = one_list(Type::Io, false, {entry(0xCF8, 4, 2 | 8)});
  EXPECT_EQ(words(difference(a, b), false),
            (std::vector<std::string>{"IO 0xCF8-0xCFB write, 1 byte", "IO 0xCF8-0xCFA write, 2 bytes"}));
  auto const deny = one_list(Type::Io, true, {});
  EXPECT_EQ(words(difference(one_list(Type::Io, true, {entry(0xFFFF, 1, 3)}), deny), true),
            (std::vector<std::string>{"IO 0xFFFF read and write, 1 byte", "IO 0xFFFE read and write, 2 bytes",
                                      "IO 0xFFFC read and write, 4 bytes"}));
}

TEST(PolicyDiff, InstructionsAndSaveState) {
  EXPECT_EQ(
      words(difference(one_list(Type::Instruction, false, {}), one_list(Type::Instruction, false, {entry(1, 1, 4)})),
            true),
      (std::vector<std::string>{"INSTRUCTION WBINVD"}));
  auto limited = entry(0, 1, policy::kCondRead);
  limited.condition = 2;
  EXPECT_EQ(
      words(difference(one_list(Type::SaveState, false, {limited}), one_list(Type::SaveState, false, {entry(0, 1, 1)})),
            true),
      (std::vector<std::string>{"SAVESTATE RAX read", "SAVESTATE RAX read during IN"}));
}

TEST(PolicyDiff, MemoryOfFetchedPolicies) {
  auto const a = one_list(Type::Mem, false, {entry(0x1000, 0x2000, 1)});
  auto const b = one_list(Type::Mem, false, {entry(0x1000, 0x1000, 3)});
  auto const d = difference(a, b);
  EXPECT_EQ(words(d, true), (std::vector<std::string>{"MEMORY 0x1000-0x1FFF write"}));
  EXPECT_EQ(words(d, false), (std::vector<std::string>{"MEMORY 0x2000-0x2FFF read"}));
  auto const source = difference(one_list(Type::Mem, true, {}), b);
  EXPECT_TRUE(source.changes.empty());
  EXPECT_EQ(source.notes.size(), 1u);
}

/// Every access near the generator's entries: in a range of the difference exactly when the decisions differ.
TEST(PolicyDiff, IsExactOnGeneratedPolicies) {
  test::PolicyGenerator generator{30};
  for (int i = 0; i < 60; ++i) {
    auto const a = generator.next();
    auto const b = generator.next();
    auto const blob_a = encode(a);
    auto const blob_b = encode(b);
    auto const d = difference(a, b);
    for (u64 at = 0; at < 0x40; ++at) {
      for (u64 const width : {u64{1}, u64{2}, u64{4}}) {
        for (u16 const access : {policy::kRead, policy::kWrite}) {
          for (auto const type : {Type::Io, Type::Msr}) {
            u64 const last = type == Type::Io ? 0x1'0000 - width : 0xFFFF'FFFF;
            u64 const address = at < 0x30 ? at : last - (at - 0x30);
            Access const x{.type = type, .address = address, .width = type == Type::Io ? width : 1, .access = access};
            bool const was = decide(blob_a, x) == Status::Success;
            bool const is = decide(blob_b, x) == Status::Success;
            bool const listed = std::ranges::any_of(d.changes, [&](Change const& c) {
              return c.type == type && c.first <= address && address <= c.last && (c.access & access) != 0 &&
                     (type == Type::Msr || c.width == width) && c.allowed == is;
            });
            ASSERT_EQ(listed, was != is) << describe(x);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace mm::policy_tools
