// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <random>

#include "tests/support/scripted_ring3.hpp"

namespace mm::user::test {
namespace {

using enum DepexOp;

bool holds(Depex const& depex, std::vector<Guid> const& installed = {}) {
  // A heap copy of the exact size: the sanitizer sees a read past the end.
  auto const exact = std::make_unique<std::byte[]>(depex.bytes.size());
  std::copy_n(depex.span().begin(), depex.bytes.size(), exact.get());
  return depex_satisfied({exact.get(), depex.bytes.size()}, [&](Guid const& g) {
    return std::find(installed.begin(), installed.end(), g) != installed.end();
  });
}

TEST(Depex, EmptyIsTrue) {
  EXPECT_TRUE(depex_satisfied({}, [](Guid const&) { return false; }));
}

TEST(Depex, Operators) {
  EXPECT_TRUE(holds(Depex{}.op(True).op(End)));
  EXPECT_FALSE(holds(Depex{}.op(False).op(End)));
  EXPECT_FALSE(holds(Depex{}.op(True).op(Not).op(End)));
  EXPECT_TRUE(holds(Depex{}.op(False).op(Not).op(End)));
  for (int a = 0; a < 2; ++a) {
    for (int b = 0; b < 2; ++b) {
      auto const operands = Depex{}.op(a != 0 ? True : False).op(b != 0 ? True : False);
      EXPECT_EQ(holds(Depex(operands).op(And).op(End)), a != 0 && b != 0);
      EXPECT_EQ(holds(Depex(operands).op(Or).op(End)), a != 0 || b != 0);
    }
  }
}

TEST(Depex, PushAsksForTheProtocol) {
  auto const depex = Depex{}.op(Push, guid_of(1)).op(Push, guid_of(2)).op(And).op(End);
  EXPECT_FALSE(holds(depex, {guid_of(1)}));
  EXPECT_TRUE(holds(depex, {guid_of(1), guid_of(2)}));
}

TEST(Depex, EndTakesTheTopOnly) { EXPECT_TRUE(holds(Depex{}.op(False).op(True).op(End))); }

TEST(Depex, MalformedIsFalse) {
  EXPECT_FALSE(holds(Depex{}.op(End)));
  EXPECT_FALSE(holds(Depex{}.op(True)));
  EXPECT_FALSE(holds(Depex{}.op(True).op(And).op(End)));
  EXPECT_FALSE(holds(Depex{}.op(Or).op(End)));
  EXPECT_FALSE(holds(Depex{}.op(Not).op(End)));
  EXPECT_FALSE(holds(Depex{}.op(True).op(static_cast<DepexOp>(0x0A)).op(End)));
  EXPECT_FALSE(holds(Depex{}.op(ScheduleOnRequest).op(True).op(End)));
  EXPECT_FALSE(holds(Depex{}.op(Before, guid_of(1)).op(End)));
  EXPECT_FALSE(holds(Depex{}.op(True).op(After, guid_of(1)).op(End), {guid_of(1)}));
}

/// BEFORE and AFTER are orders between files. Inside an expression they make it FALSE wherever they stand, and the file
/// that they name is not taken for a protocol.
TEST(Depex, BeforeAndAfterInsideAnExpressionAreNoOperands) {
  std::mt19937 random(20260);
  Guid const file = guid_of(99);
  for (int round = 0; round < 500; ++round) {
    std::vector<Depex> operations;
    int depth = 0;
    while (operations.size() < 2 + random() % 12 || depth < 1) {
      auto const kind = static_cast<u32>(random() % 5);
      if (kind == 0 && depth >= 2) {
        operations.push_back(Depex{}.op(And));
        --depth;
      } else if (kind == 1 && depth >= 1) {
        operations.push_back(Depex{}.op(Not));
      } else {
        operations.push_back(kind < 3 ? Depex{}.op(True) : Depex{}.op(Push, guid_of(static_cast<u8>(kind))));
        ++depth;
      }
    }
    std::size_t const at = 1 + random() % operations.size();
    Depex whole;
    for (std::size_t i = 0; i <= operations.size(); ++i) {
      if (i == at) {
        whole.op(random() % 2 == 0 ? Before : After, file);
      }
      if (i < operations.size()) {
        whole.bytes.insert(whole.bytes.end(), operations[i].bytes.begin(), operations[i].bytes.end());
      }
    }
    whole.op(End);
    bool asked = false;
    EXPECT_FALSE(depex_satisfied(whole.span(), [&](Guid const& guid) {
      asked = asked || guid == file;
      return true;
    })) << round;
    EXPECT_FALSE(asked) << round;
  }
}

TEST(Depex, TruncatedGuidIsFalse) {
  auto depex = Depex{}.op(Push, guid_of(1));
  while (depex.bytes.size() > 1) {
    depex.bytes.pop_back();
    EXPECT_FALSE(holds(depex, {guid_of(1)}));
    EXPECT_EQ(depex_association(depex.span()).kind, Association::None);
  }
}

TEST(Depex, TooManyOperandsIsFalse) {
  Depex depex;
  for (int i = 0; i < 1025; ++i) {
    depex.op(True);
  }
  EXPECT_FALSE(holds(depex.op(End)));
}

TEST(Depex, PushesThatAnEvaluationCanReach) {
  auto const pushes = [](Depex const& depex) {
    std::vector<Guid> found;
    for_each_push(depex.span(), [&](Guid const& g) { found.push_back(g); });
    return found;
  };
  auto const two = std::vector{guid_of(1), guid_of(2)};
  EXPECT_EQ(pushes(Depex{}.op(Push, guid_of(1)).op(Not).op(Push, guid_of(2)).op(Or).op(End).op(Push, guid_of(3))), two);
  EXPECT_EQ(pushes(Depex{}.op(Push, guid_of(1)).op(Push, guid_of(2)).op(ScheduleOnRequest).op(Push, guid_of(3))), two);
  EXPECT_TRUE(pushes(Depex{}.op(Before, guid_of(1)).op(End)).empty());
  auto truncated = Depex{}.op(Push, guid_of(1));
  truncated.bytes.pop_back();
  EXPECT_TRUE(pushes(truncated).empty());
}

TEST(Depex, AssociationOnlyAtTheStart) {
  auto const before = depex_association(Depex{}.op(Before, guid_of(3)).op(End).span());
  EXPECT_EQ(before.kind, Association::Before);
  EXPECT_EQ(before.target, guid_of(3));
  EXPECT_EQ(depex_association(Depex{}.op(After, guid_of(3)).op(End).span()).kind, Association::After);
  EXPECT_EQ(depex_association(Depex{}.op(True).op(After, guid_of(3)).span()).kind, Association::None);
}

TEST(Depex, RandomBytesNeverReadOutside) {
  std::mt19937 random(3);
  for (int i = 0; i < 20000; ++i) {
    Depex depex;
    depex.bytes.resize(random() % 40);
    for (u8& byte : depex.bytes) {
      byte = static_cast<u8>(random() % 12);
    }
    (void)holds(depex);
  }
}

}  // namespace
}  // namespace mm::user::test
