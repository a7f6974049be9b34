// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy_advice/matches.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/unit/policy_tools/generator.hpp"
#include "tools/lab/policy/access.hpp"
#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/earlier_index.hpp"
#include "tools/lab/policy/xml.hpp"
#include "tools/lab/policy_advice/diff.hpp"
#include "tools/lab/policy_advice/explain.hpp"
#include "tools/lab/policy_advice/lint.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

/// Whether any decision changes without an entry, by asking core/policy near every place that entries name.
bool is_redundant(Root const& root, std::size_t index) {
  Policy with;
  with.roots.push_back(root);
  Policy without = with;
  without.roots[0].entries.erase(without.roots[0].entries.begin() + static_cast<std::ptrdiff_t>(index));
  auto const before = encode(with);
  auto const after = encode(without);
  auto const same = [&](Access const& a) { return decide(before, a) == decide(after, a); };
  if (root.type == Type::Instruction || root.type == Type::SaveState) {
    bool all = true;
    for (u64 i = 0; i < 3; ++i) {
      for (auto const trap : {policy::IoTrap::None, policy::IoTrap::Read, policy::IoTrap::Write}) {
        u16 const access = root.type == Type::Instruction ? policy::kExecute : policy::kRead;
        all = all && same({.type = root.type, .address = i, .width = 1, .access = access, .trap = trap});
      }
    }
    return all;
  }
  for (u64 const width : {u64{1}, u64{2}, u64{4}}) {
    u64 const last = root.type == Type::Io ? 0x1'0000 - width : 0xFFFF'FFFF;
    for (u64 const at : decision_points({&with}, root.type, width, last)) {
      for (u16 const access : {policy::kRead, policy::kWrite}) {
        if (!same({.type = root.type, .address = at, .width = width, .access = access})) {
          return false;
        }
      }
    }
  }
  return true;
}

bool shares(Root const& root, Entry const& a, Entry const& b) {
  bool const exact = root.type == Type::Io && ((a.attributes & b.attributes) & policy::kStrictWidth) != 0;
  bool const meet = a.base <= b.base ? b.base - a.base < a.size : a.base - b.base < b.size;
  return exact ? a.base == b.base && a.size == b.size : meet;
}

TEST(PolicyMatches, AsTheSlowDefinitionsOnGeneratedPolicies) {
  test::PolicyGenerator generator{41};
  for (int i = 0; i < 400; ++i) {
    auto const policy = generator.next();
    for (auto const& root : policy.roots) {
      if (root.type == Type::Mem) {
        continue;
      }
      auto const redundant = redundant_entries(root);
      auto const shared = shared_entries(root);
      for (std::size_t n = 0; n < root.entries.size(); ++n) {
        EXPECT_EQ(redundant[n], is_redundant(root, n)) << i << ", " << describe(root.type, root.entries[n]);
        std::vector<std::size_t> earlier;
        for (std::size_t m = 0; m < n; ++m) {
          if (shares(root, root.entries[m], root.entries[n])) {
            earlier.push_back(m);
          }
        }
        EXPECT_EQ(shared[n].more, earlier.size() > kMostShared);
        if (!shared[n].more) {
          EXPECT_EQ(shared[n].earlier, earlier) << i;
        }
      }
    }
  }
}

/// The two ways to find a collision give the same finding, whatever is wrong with the policy.
TEST(PolicyMatches, CollisionsAreFoundWhereTheSupervisorFindsThem) {
  test::PolicyGenerator generator{42};
  u64 wrong = 0;
  for (int i = 0; i < 3000; ++i) {
    auto policy = generator.next();
    for (auto& root : policy.roots) {
      for (auto& e : root.entries) {
        e.base = root.type == Type::Io && generator.one_in(2) ? generator.below(64) : e.base;
        if (root.type == Type::SaveState) {
          e.attributes &= policy::kRead;
          e.condition = 0;
        }
      }
    }
    auto const blob = encode(policy);
    auto const found = policy::validate(blob);
    EXPECT_EQ(policy::validate<EarlierIndex>(blob), found) << i;
    wrong += found.problem != policy::Problem::None ? 1 : 0;
  }
  EXPECT_GT(wrong, 500u);
  EXPECT_LT(wrong, 2900u);
}

/// A list of `count` entries that do not touch, in a seeded order.
Policy many(Type type, u64 count, u64 seed) {
  Policy out;
  out.roots.push_back({.type = type, .deny = false, .entries = {}, .place = {}, .comments = {}});
  for (u64 i = 0; i < count; ++i) {
    out.roots[0].entries.push_back({.base = type == Type::Io ? i : 3 * i,
                                    .size = type == Type::Io ? u64{1} : u64{2},
                                    .attributes = policy::kRead,
                                    .condition = 0,
                                    .place = {},
                                    .comments = {}});
  }
  std::mt19937_64 random{seed};
  std::ranges::shuffle(out.roots[0].entries, random);
  return out;
}

TEST(PolicyMatches, AHundredThousandEntries) {
  auto const start = std::chrono::steady_clock::now();
  for (auto const& [type, count] : {std::pair{Type::Msr, u64{100'000}}, {Type::Io, u64{60'000}}}) {
    PolicyFile file;
    file.policy = many(type, count, 1);
    file.blob = encode(file.policy);
    auto const result = lint(file, {});
    EXPECT_TRUE(result.refused) << "more than 64 KiB";
    EXPECT_EQ(std::ranges::count(result.findings, Rule::Overlap, &Finding::rule), 0);
    EXPECT_TRUE(decode(file.blob).has_value());
    EXPECT_TRUE(difference(file.policy, many(type, count, 2)).changes.empty());
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds{120}) << "n log n: seconds";
}

TEST(PolicyMatches, TheLimitOfTheSupervisorIsThatOfTheTools) {
  // Header, root and MEM placeholder of the source, and entries of 8 bytes up to the limit and one beyond it.
  u64 const fits = (policy::kMaxBytes - policy::kHeaderSize - policy::kRootSize) / 8;
  EXPECT_FALSE(refusal(encode(many(Type::Msr, fits, 3))).has_value());
  auto const why = refusal(encode(many(Type::Msr, fits + 1, 3)));
  ASSERT_TRUE(why.has_value());
  EXPECT_NE(why->text.find("65536"), std::string::npos) << why->text;
}

}  // namespace
}  // namespace mm::policy_tools
