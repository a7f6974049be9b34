// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "tests/unit/policy_tools/generator.hpp"
#include "tests/unit/policy_tools/reference_model.hpp"
#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy_advice/explain.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

/// Mostly near the entries of the generator, sometimes at the ends, sometimes malformed.
Access random_access(test::PolicyGenerator& g) {
  constexpr Type kTypes[] = {Type::Io, Type::Io, Type::Msr, Type::Instruction, Type::SaveState};
  Access a{.type = kTypes[g.below(5)]};
  a.access = static_cast<u16>(g.one_in(16) ? g.below(64) : 1 + g.below(2));
  a.trap = static_cast<policy::IoTrap>(g.below(3));
  switch (a.type) {
    case Type::Io:
      a.width = g.one_in(16) ? g.below(9) : u64{1} << g.below(3);
      a.address = g.one_in(8) ? 0xFFF0 + g.below(20) : g.below(34);
      break;
    case Type::Msr:
      a.address = g.one_in(8) ? 0xFFFF'FFF0 + g.below(16) : g.below(34);
      break;
    case Type::Instruction:
      a.address = g.below(4);
      break;
    default:
      a.address = g.one_in(3) ? static_cast<u64>(policy::SaveStateField::Other) : g.below(2);
  }
  return a;
}

TEST(PolicyDecision, TheEngineAgreesWithTheReferenceModelOnAMillionAccesses) {
  test::PolicyGenerator generator{20};
  u64 counts[3] = {};
  for (int p = 0; p < 2000; ++p) {
    auto const policy = generator.next();
    auto const blob = encode(policy);
    for (int i = 0; i < 500; ++i) {
      auto const access = random_access(generator);
      auto const want = test::reference_decision(policy, access);
      ASSERT_EQ(decide(blob, access), want) << describe(access) << " width " << access.width << " policy " << p;
      ++counts[want == Status::Success ? 0 : want == Status::AccessDenied ? 1 : 2];
    }
  }
  // The generator has to reach all three answers often, or the agreement says little.
  for (u64 const count : counts) {
    EXPECT_GT(count, 20'000u);
  }
}

TEST(PolicyExplain, TheEntryItNamesDecides) {
  test::PolicyGenerator generator{21};
  for (int p = 0; p < 300; ++p) {
    auto const policy = generator.next();
    for (int i = 0; i < 20; ++i) {
      auto const access = random_access(generator);
      auto const x = explain(policy, access);
      auto const said = test::reference_decision(policy, access);
      ASSERT_EQ(x.status, x.core != nullptr ? Status::AccessDenied : said);
      if (x.core != nullptr) {
        continue;
      }
      auto const* const root = find_root(policy, access.type);
      if (x.status == Status::InvalidParameter || root == nullptr) {
        ASSERT_FALSE(x.entry.has_value());
        continue;
      }
      ASSERT_EQ(x.entry.has_value(), (x.status == Status::Success) != root->deny) << describe(access);
      if (x.entry) {
        ASSERT_TRUE(test::reference_matches(*root, root->entries[*x.entry], access));
      }
      for (auto const& near : x.near_misses) {
        ASSERT_FALSE(test::reference_matches(*root, root->entries[near.entry], access)) << near.why;
      }
    }
  }
}

}  // namespace
}  // namespace mm::policy_tools
