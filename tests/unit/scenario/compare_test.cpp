// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/compare.hpp"

#include <gtest/gtest.h>

namespace mm::lab {
namespace {

using hal::TraceEvent;
using hal::TraceKind;

constexpr bool six_for_thirteen(TraceEvent const& s, TraceEvent const& m) noexcept { return s.a == 6 && m.a == 13; }
constexpr std::array kGaps{
    sim::FidelityGap{"test", "", {sim::TranscriptPattern{TraceKind::Fault, "a", "", six_for_thirteen}}}};

TraceEvent event(TraceKind kind, u32 mmi, u64 a, u64 b = 0) { return {kind, 0, mmi, a, b}; }

struct Compare : testing::Test {
  Compare() {
    sim.trace = {event(TraceKind::MmiEntry, 1, 1), event(TraceKind::Fault, 1, 6, 2)};
    machine.trace = {event(TraceKind::MmiEntry, 1, 1), event(TraceKind::Fault, 1, 13, 2)};
  }
  Comparison run() { return compare(prepared, sim, machine, kGaps); }
  Prepared prepared;
  MachineRun sim, machine;
};

TEST_F(Compare, DeclaredDifferenceIsToldAndIgnored) {
  auto const found = run();
  EXPECT_FALSE(found.difference);
  ASSERT_EQ(found.declared.size(), 1u);
  EXPECT_EQ(found.declared[0].id, "test");
  EXPECT_NE(found.declared[0].sim, found.declared[0].machine);
}

TEST_F(Compare, TheOtherWayRoundIsNotDeclared) {
  std::swap(sim, machine);
  EXPECT_TRUE(run().difference);
}

TEST_F(Compare, AnotherFieldThatDiffersIsNotDeclared) {
  machine.trace[1].b = 3;
  auto const found = run();
  ASSERT_TRUE(found.difference);
  EXPECT_EQ(found.difference->number, 2u);
  EXPECT_EQ(found.difference->before.size(), 1u);
  EXPECT_TRUE(found.declared.empty());
}

TEST_F(Compare, AnotherKindIsNotDeclared) {
  machine.trace[1].kind = TraceKind::SupervisorFault;
  EXPECT_TRUE(run().difference);
}

TEST_F(Compare, OneEventMoreIsADifference) {
  machine.trace.push_back(event(TraceKind::MmiExit, 1, 2));
  auto const found = run();
  ASSERT_TRUE(found.difference);
  EXPECT_EQ(found.difference->number, 3u);
  EXPECT_EQ(found.difference->sim, "");
}

TEST_F(Compare, OrderOfCpusWithinAnMmiDoesNotMatter) {
  sim.trace = {event(TraceKind::MmiEntry, 1, 1), TraceEvent{TraceKind::MmiEntry, 1, 1, 1}};
  machine.trace = {sim.trace[1], sim.trace[0]};
  EXPECT_FALSE(run().difference);
}

}  // namespace
}  // namespace mm::lab
