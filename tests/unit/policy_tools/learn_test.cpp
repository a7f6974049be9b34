// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy_advice/learn.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/xml.hpp"
#include "tools/lab/policy_advice/explain.hpp"
#include "tools/lab/policy_advice/levels.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

Need io(u64 port, u64 width, u16 access, std::string driver = "A", bool refused = false) {
  return {{.type = Type::Io, .address = port, .width = width, .access = access}, std::move(driver), refused};
}
Need msr(u64 number, u16 access, std::string driver = "A") {
  return {{.type = Type::Msr, .address = number, .access = access}, std::move(driver), false};
}
Need field(policy::SaveStateField f) { return {{.type = Type::SaveState, .address = static_cast<u64>(f)}, "A", false}; }
std::vector<std::string> list(Learnt const& l, Type type) {
  std::vector<std::string> out;
  for (auto const& e : find_root(l.policy, type)->entries) {
    out.push_back(describe(type, e));
  }
  return out;
}
using Lines = std::vector<std::string>;

TEST(PolicyLearn, NothingNeededIsNothingAllowed) {
  auto const l = learn({});
  EXPECT_EQ(l.policy.roots.size(), 5u);
  EXPECT_EQ(levels_of(l.policy, {Vendor::Intel, Vendor::Amd}, {}).level, 30u);
  EXPECT_FALSE(refusal(encode(l.policy)).has_value());
}

TEST(PolicyLearn, NeighboursOfTheSameDriverAndRightsBecomeOne) {
  auto const l = learn({io(0x70, 1, 2), io(0x71, 1, 2), io(0x71, 1, 2), io(0x72, 1, 1), io(0x73, 1, 1, "B"),
                        msr(0x10, 1), msr(0x11, 1), msr(0x13, 1), msr(0x13, 2)});
  EXPECT_EQ(list(l, Type::Io), (Lines{"IO 0x70-0x71 Write", "IO 0x72 Read", "IO 0x73 Read"}));
  EXPECT_EQ(list(l, Type::Msr), (Lines{"MSR 0x10-0x11 Read", "MSR 0x13 Read | Write"}));
  EXPECT_EQ(find_root(l.policy, Type::Io)->entries[2].comments, (Lines{"needed by B"}));
}

TEST(PolicyLearn, OverlapsWithDifferentRightsAreStrict) {
  auto const l = learn({io(0xCF8, 1, 2), io(0xCF8, 4, 1), io(0xCFA, 2, 2), io(0x60, 2, 3), io(0x61, 1, 3)});
  EXPECT_EQ(list(l, Type::Io), (Lines{"IO 0x60-0x61 Read | Write", "IO 0xCF8-0xCFB Read | StrictWidth",
                                      "IO 0xCFA-0xCFB Write | StrictWidth", "IO 0xCF8 Write | StrictWidth"}));
  EXPECT_FALSE(refusal(encode(l.policy)).has_value());
  EXPECT_EQ(list(learn({io(0x70, 1, 2), io(0x71, 1, 2)}, true), Type::Io),
            (Lines{"IO 0x70 Write | StrictWidth", "IO 0x71 Write | StrictWidth"}));
}

TEST(PolicyLearn, EveryDriverAndEveryRefusalIsNamed) {
  auto const l = learn({io(1, 1, 1, "B"), io(1, 1, 1, "A"), io(5, 1, 1, "A", true)});
  auto const& entries = find_root(l.policy, Type::Io)->entries;
  EXPECT_EQ(entries[0].comments, (Lines{"needed by A, B"}));
  EXPECT_EQ(entries[1].comments.size(), 2u);
  EXPECT_NE(write_xml(l.policy).find("needed by A, B"), std::string::npos);
}

TEST(PolicyLearn, SaveStateIsWhatLevel30Tolerates) {
  auto const l = learn({field(policy::SaveStateField::IoTrap), field(policy::SaveStateField::Other)});
  EXPECT_EQ(list(l, Type::SaveState), (Lines{"RAX LimitedRead IOWRITE", "IO_TRAP Read"}));
  EXPECT_EQ(l.notes.size(), 1u);
}

TEST(PolicyLearn, RegistersWithoutAFieldAreNamedOncePerPlace) {
  auto rcx = field(policy::SaveStateField::Other);
  rcx.driver = "A";
  rcx.subject = "RCX (40)";
  rcx.place = "x.toml, step 2 (RCX)";
  auto later = rcx;
  later.place = "x.toml, step 3";
  auto const l = learn({rcx, rcx, later});
  constexpr std::string_view kWhy = ": a policy has no field for it, so no allow list permits it";
  EXPECT_EQ(l.notes, (Lines{"A reads save-state register RCX (40) in x.toml, step 2 (RCX)" + std::string{kWhy},
                            "A reads save-state register RCX (40) in x.toml, step 3" + std::string{kWhy}}));
  EXPECT_TRUE(find_root(l.policy, Type::SaveState)->entries.empty());
  EXPECT_EQ(list(learn({field(policy::SaveStateField::Rax)}), Type::SaveState), (Lines{"RAX LimitedRead IOWRITE"}));
  EXPECT_EQ(levels_of(l.policy, {Vendor::Intel}, {}).level, 30u);
}

/// Whatever was needed is allowed, the supervisor takes the policy, and with strict widths nothing else is allowed.
TEST(PolicyLearn, AllowsEveryNeedAndLittleElse) {
  std::mt19937_64 random{40};
  for (int round = 0; round < 200; ++round) {
    std::vector<Need> needs;
    for (u64 n = random() % 20; n > 0; --n) {
      u16 const access = random() % 2 == 0 ? policy::kRead : policy::kWrite;
      needs.push_back(random() % 3 == 0 ? msr(random() % 16, access, random() % 2 == 0 ? "A" : "B")
                                        : io(random() % 24, u64{1} << random() % 3, access));
    }
    for (bool const strict : {false, true}) {
      auto const blob = encode(learn(needs, strict).policy);
      ASSERT_FALSE(refusal(blob).has_value());
      for (auto const& need : needs) {
        ASSERT_EQ(decide(blob, need.access), Status::Success) << describe(need.access);
      }
      for (u64 at = 0; at < 40 && strict; ++at) {
        for (u64 const width : {u64{1}, u64{2}, u64{4}}) {
          for (u16 const access : {policy::kRead, policy::kWrite}) {
            Access const a{.type = Type::Io, .address = at, .width = width, .access = access};
            bool const needed = std::ranges::any_of(needs, [&](Need const& n) { return n.access == a; });
            ASSERT_EQ(decide(blob, a) == Status::Success, needed) << describe(a);
          }
        }
      }
    }
  }
}

TEST(PolicyLearn, NothingIsRefusedWhileRecording) {
  auto const blob = encode(permissive_policy());
  EXPECT_FALSE(refusal(blob).has_value());
  for (auto const* const text : {"MSR 0xC0000080 write", "IO 0xCFC write 4", "INSTRUCTION HLT", "SAVESTATE OTHER"}) {
    EXPECT_EQ(decide(blob, *parse_access(text)), Status::Success) << text;
  }
}

}  // namespace
}  // namespace mm::policy_tools
