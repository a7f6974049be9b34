// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "core/supervisor/processors.hpp"
#include "tests/unit/core_supervisor/part.hpp"
#include "tests/unit/core_supervisor/turns.hpp"

/// The processors without the rest of the supervisor.
namespace mm::test {
namespace {

using supervisor::ApCall;
using supervisor::Mailbox;

struct PenTest : ::testing::Test, Part {
  PenTest() {
    processors.adopt(kIds, kBases, {}, 0, kInitialised);
    bsp.cr3 = ap.cr3 = kRoot;
  }
  auto at_bsp() { return processors.here(machine, bsp, 0); }
  auto at_ap() { return processors.here(machine, ap, 1); }
  /// Ready, and the BSP does `inside` between rendezvous and release, while the AP is in the pen.
  template <typename F, typename Run>
  void mmi(F&& inside, Run&& run) {
    ASSERT_TRUE(processors.join(at_bsp()));
    processors.open(at_bsp());
    Turns turns(bsp, ap);
    turns.run(
        [&] {
          processors.begin(at_bsp());
          if (processors.gather(at_bsp())) {
            inside();
            processors.release(at_bsp());
            processors.end(at_bsp());
          }
        },
        [&] { processors.wait_in_pen(at_ap(), run); });
  }

  static constexpr std::array<u32, 2> kIds{4, 6};
  static constexpr std::array<u64, 2> kBases{0x3'0000, 0x4'0000};
  static constexpr u64 kInitialised = 0x7000;
  fake::Cpu bsp{machine, 4, true};
  fake::Cpu ap{machine, 6, false};
  supervisor::Processors<fake::Machine> processors;
};

TEST_F(PenTest, KnowsWhoIsWho) {
  EXPECT_EQ(processors.count(), 2u);
  EXPECT_EQ(processors.slot(1).smbase, 0x4'0000u);
  EXPECT_EQ(processors.index_of(ap), 1u);
  EXPECT_EQ(processors.index_of(cpu), 0u) << "a CPU that is nobody's";
  EXPECT_TRUE(processors.is_bsp(at_bsp()));
  EXPECT_FALSE(processors.is_bsp(at_ap()));
}

TEST_F(PenTest, TheBspStaysWhoItWas) {
  EXPECT_FALSE(processors.is_ready(at_bsp()));
  processors.open(at_bsp());
  EXPECT_TRUE(processors.is_ready(at_ap()));
  bsp.bsp = false;
  ap.bsp = true;
  EXPECT_TRUE(processors.is_bsp(at_bsp()));
  EXPECT_FALSE(processors.is_bsp(at_ap()));
}

TEST_F(PenTest, ACpuJoinsUnderItsOwnId) {
  EXPECT_TRUE(processors.join(at_ap()));
  EXPECT_EQ(get<u8>(kInitialised + 1), 1);
  EXPECT_EQ(told<hal::event::CpuInitialised>().size(), 1u);
  EXPECT_FALSE(processors.join(processors.here(machine, ap, 0)));
  EXPECT_EQ(machine.halted, hal::HaltReason::InitFailed);
}

TEST_F(PenTest, AnIndexBeyondTheMachineDoesNotJoin) {
  EXPECT_FALSE(processors.join(processors.here(machine, ap, 2)));
  EXPECT_EQ(machine.halted, hal::HaltReason::InitFailed);
}

TEST_F(PenTest, TheBspDoesNotWaitForEver) {
  processors.open(at_bsp());
  EXPECT_FALSE(processors.gather(at_bsp()));
  EXPECT_EQ(machine.halted, hal::HaltReason::RendezvousTimeout);
  EXPECT_EQ(told<hal::event::Rendezvous>().at(0).arrived, 1u);
  EXPECT_TRUE(at_ap().stopped());
}

TEST_F(PenTest, AnApDoesNotWaitForEver) {
  processors.wait_in_pen(at_ap(), [](u64, u64) { return true; });
  EXPECT_EQ(machine.halted, hal::HaltReason::RendezvousTimeout);
}

TEST_F(PenTest, AnApWaitsWhileTheBspIsInside) {
  processors.begin(at_bsp());
  u32 pauses = 0;
  ap.on_pause = [&] {
    machine.clock_us += 2 * supervisor::kRendezvousUs;
    if (++pauses == 3) {
      processors.end(at_bsp());
    }
  };
  processors.wait_in_pen(at_ap(), [](u64, u64) { return true; });
  EXPECT_GE(pauses, 3u);
  EXPECT_EQ(machine.halted, hal::HaltReason::RendezvousTimeout) << "when it has left";
}

TEST_F(PenTest, AllMeetAndLeave) {
  u32 in_pen = 0;
  mmi([&] { in_pen = processors.slot(1).in_pen; }, [](u64, u64) { return true; });
  EXPECT_FALSE(machine.halted);
  EXPECT_EQ(in_pen, 1u);
  EXPECT_EQ(processors.slot(1).in_pen, 0u);
  EXPECT_EQ(told<hal::event::Rendezvous>().at(0).arrived, 2u);
  EXPECT_EQ(told<hal::event::CpuInitialised>().size(), 2u) << "the AP joined on its way in";
}

TEST_F(PenTest, AnApRunsWhatTheBspAsksFor) {
  std::vector<std::pair<u64, u64>> ran;
  ApCall first{}, second{};
  auto const run = [&](u64 procedure, u64 argument) {
    ran.emplace_back(procedure, argument);
    return ran.size() == 1;
  };
  mmi(
      [&] {
        first = processors.call(at_bsp(), 1, 0x1000, 7);
        second = processors.call(at_bsp(), 1, 0x2000, 8);
      },
      run);
  EXPECT_EQ(first, ApCall::Ended);
  EXPECT_EQ(second, ApCall::Faulted) << "it did not end";
  EXPECT_EQ(ran, (std::vector<std::pair<u64, u64>>{{0x1000, 7}, {0x2000, 8}}));
  EXPECT_EQ(processors.slot(1).mailbox, static_cast<u32>(Mailbox::Empty));
  EXPECT_EQ(processors.slot(1).caller, 0u);
}

TEST_F(PenTest, AProcedureThatDoesNotEndIsTimedOutAndKeepsTheMailbox) {
  EXPECT_EQ(processors.call(at_bsp(), 1, 0x1000, 7), ApCall::TimedOut);
  EXPECT_EQ(processors.call(at_bsp(), 1, 0x2000, 8), ApCall::Busy);
  EXPECT_EQ(processors.slot(1).procedure, 0x1000u);
}

TEST_F(PenTest, AnApThatDoesNotLeaveStopsTheMachine) {
  processors.release(at_bsp());
  EXPECT_EQ(machine.halted, hal::HaltReason::RendezvousTimeout);
}

TEST_F(PenTest, OneCpuNeedsNobody) {
  supervisor::Processors<fake::Machine> alone;
  alone.adopt(std::span(kIds).first(1), kBases, {}, 0, kInitialised);
  auto const only = alone.here(machine, bsp, 0);
  EXPECT_TRUE(alone.gather(only));
  alone.release(only);
  EXPECT_FALSE(machine.halted);
}

TEST_F(PenTest, ARemovedRendezvousWaitsForNobody) {
  machine.defects = supervisor::bit_of(supervisor::Check::Rendezvous);
  EXPECT_TRUE(processors.gather(at_bsp()));
  EXPECT_EQ(machine.clock_us, 0u);
}

}  // namespace
}  // namespace mm::test
