// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <optional>
#include <semaphore>
#include <thread>
#include <tuple>

#include "tests/support/supervisor_world.hpp"

/// Several CPUs: rendezvous, procedures on APs, who is the BSP.
namespace mm::test {
namespace {

using hal::TraceKind;

/// Where the telemetry record was left; 0 when there is none.
u64 telemetry_page(World& w, u64 offset = abi::kTelemetryOffset) {
  for (u64 page = kFree; page < kMmram + kMmramBytes; page += kPageSize) {
    if (w.get<u32>(page + offset) == 0x5456534D) {
      return page + offset;
    }
  }
  return 0;
}

/// One AP on a thread of its own; only one of the two runs at a time, they change places at pause().
class TwoCpus {
 public:
  explicit TwoCpus(World& w) : w_(w) {
    w.cpu[0]->on_pause = [this] { ap_.release(), bsp_.acquire(); };
    w.cpu[1]->on_pause = [this] { bsp_.release(), ap_.acquire(); };
  }
  void mmi() {
    std::thread ap([this] {
      ap_.acquire();
      w_.sup.enter(*w_.cpu[1], 1, PhysAddr{kHobs});
      done_ = true;
      bsp_.release();
    });
    w_.sup.enter(*w_.cpu[0], 0, PhysAddr{kHobs});
    EXPECT_TRUE(done_ || w_.machine.halted) << "the BSP leaves after the APs";
    while (!done_) {
      ap_.release();
      bsp_.acquire();
    }
    done_ = false;
    ap.join();
    while (ap_.try_acquire() || bsp_.try_acquire()) {
    }
  }

 private:
  World& w_;
  std::counting_semaphore<16> ap_{0}, bsp_{0};
  bool done_ = false;
};

TEST(Processors, RendezvousAndApProcedure) {
  World w(2);
  TwoCpus two(w);
  Script bsp(*w.cpu[0]);
  Script ap(*w.cpu[1]);
  two.mmi();
  ASSERT_FALSE(w.machine.halted);
  EXPECT_EQ(w.get<u8>(kData + 0x801), 1);
  std::optional<u64> rax;
  bsp.contexts.clear();
  bsp.steps = {Script::call(0x10006, kDriver + 0x1000, 1, kStacks), [&](hal::UserContext& c) {
                 rax = c.rax;
                 return Script::ret(c, 0);
               }};
  two.mmi();
  ASSERT_FALSE(w.machine.halted);
  EXPECT_EQ(rax, 0u);
  ASSERT_EQ(ap.contexts.size(), 1u);
  EXPECT_EQ(ap.contexts[0].rcx, 2u);
  EXPECT_EQ(ap.contexts[0].rdx, kDriver + 0x1000);
  EXPECT_EQ(ap.contexts[0].r8, kStacks);
  EXPECT_GT(ap.contexts[0].rsp, kStacks + kStackBytes);
  EXPECT_EQ(w.machine.of(TraceKind::Rendezvous).size(), 2u);
}

TEST(Processors, BadApRequests) {
  for (auto const& [proc, target, arg, why] : {std::tuple{u64{0}, u64{1}, u64{0}, Status::InvalidParameter},
                                               {kDriver, 0, 0, Status::InvalidParameter},
                                               {kDriver, 2, 0, Status::InvalidParameter},
                                               {kDriver, ~0ull, 0, Status::InvalidParameter},
                                               {kCore, 1, 0, Status::SecurityViolation},
                                               {kFree + 0x800000, 1, 0, Status::InvalidParameter},
                                               {kDriver, 1, kCore, Status::SecurityViolation}}) {
    World w(2);
    TwoCpus two(w);
    Script bsp(*w.cpu[0]);
    bsp.steps = {Script::call(0x10006, proc, target, arg)};
    two.mmi();
    EXPECT_EQ(w.machine.halted, hal::HaltReason::SyscallRefused);
    EXPECT_EQ(w.machine.of(TraceKind::Halt).at(0).c, static_cast<u64>(why));
  }
}

TEST(Processors, FaultInAnApProcedureIsContained) {
  World w(2, 1);
  TwoCpus two(w);
  Script bsp(*w.cpu[0]);
  Script ap(*w.cpu[1]);
  bsp.steps = {Script::call(0x10006, kDriver, 1, 0)};
  ap.steps = {Script::fault(14, kDriver + 8, 0x77)};
  two.mmi();
  EXPECT_FALSE(w.machine.halted);
  // The caller does not go on: the user core is told, by the BSP, and with the place where the AP faulted.
  ASSERT_EQ(bsp.contexts.size(), 2u);
  EXPECT_EQ(bsp.contexts[1].rcx, static_cast<u64>(abi::UserCommand::UserFault));
  auto const fault = w.get<abi::UserFaultRecord>(bsp.contexts[1].rdx + abi::kUserFaultOffset);
  EXPECT_EQ(fault.rip, kDriver + 8);
  EXPECT_EQ(fault.vector, 14u);
  EXPECT_EQ(fault.image_base, kDriver);
  EXPECT_EQ(fault.command, static_cast<u64>(abi::UserCommand::StartUserCore));
  EXPECT_EQ(w.machine.of(TraceKind::Contained).size(), 1u);
  auto const told = w.machine.of(TraceKind::Telemetry);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].cpu, 1u);
  u64 const record = telemetry_page(w, abi::kContainedTelemetryOffset);
  ASSERT_NE(record, 0u);
  EXPECT_EQ(w.get<abi::TelemetryData>(record).exception_rip, kDriver + 8);
  EXPECT_EQ(w.get<abi::TelemetryData>(record).context.cr2, 0x77u);
}

TEST(Processors, FaultInAnApProcedureStops) {
  World w(2);
  TwoCpus two(w);
  Script bsp(*w.cpu[0]);
  Script ap(*w.cpu[1]);
  bsp.steps = {Script::call(0x10006, kDriver, 1, 0)};
  ap.steps = {Script::fault(14, kDriver + 8, 0x77)};
  two.mmi();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::UserFault);
  auto const halts = w.machine.of(TraceKind::Halt);
  EXPECT_EQ(halts.at(0).cpu, 1u);
  ASSERT_NE(telemetry_page(w), 0u);
  EXPECT_EQ(w.get<abi::TelemetryData>(telemetry_page(w)).context.cr2, 0x77u);
}

TEST(Processors, WhatOnlyTheBspMayDo) {
  for (u64 const number : {0x10004ull, 0x10005ull, 0x10006ull}) {
    World w(2, 1);
    TwoCpus two(w);
    Script bsp(*w.cpu[0]);
    Script ap(*w.cpu[1]);
    bsp.steps = {Script::call(0x10006, kDriver, 1, 0)};
    ap.steps = {Script::call(number, 0, 6, 1)};
    two.mmi();
    EXPECT_FALSE(w.machine.halted);
    EXPECT_EQ(w.machine.of(TraceKind::Syscall).at(0).f, static_cast<u64>(Status::AccessDenied)) << number;
    EXPECT_EQ(w.machine.of(TraceKind::Contained).size(), 1u);
  }
}

/// Nothing stops ring 3 on another CPU, so that the machine stops under either fault policy.
TEST(Processors, ProcedureThatDoesNotEnd) {
  for (u32 const fault_policy : {0u, 1u}) {
    World w(2, fault_policy);
    TwoCpus two(w);
    Script bsp(*w.cpu[0]);
    Script ap(*w.cpu[1]);
    bsp.steps = {Script::call(0x10006, kDriver, 1, 0)};
    ap.steps = {[&](hal::UserContext& c) {
      while (!w.machine.halted) {
        w.cpu[1]->pause();
      }
      return Script::ret(c, 0);
    }};
    w.machine.pause_us = 100'000;
    two.mmi();
    EXPECT_EQ(w.machine.halted, hal::HaltReason::SyscallRefused);
    EXPECT_EQ(w.machine.of(TraceKind::Halt).at(0).c, static_cast<u64>(Status::Timeout));
  }
}

TEST(Processors, TheTlbIsFlushedBeforeAProcedure) {
  World w(2);
  TwoCpus two(w);
  Script bsp(*w.cpu[0]);
  Script ap(*w.cpu[1]);
  two.mmi();
  bsp.steps = {Script::call(0x10006, kDriver, 1, 0)};
  u32 const before = w.cpu[1]->flush_count;
  u32 at_entry = 0;
  ap.steps = {[&](hal::UserContext& c) { return at_entry = w.cpu[1]->flush_count, Script::ret(c, 0); }};
  two.mmi();
  EXPECT_GT(at_entry, before);
}

TEST(Processors, TheMailboxIsCompleteWhenItIsPending) {
  World w(2);
  TwoCpus two(w);
  Script bsp(*w.cpu[0]);
  Script ap(*w.cpu[1]);
  two.mmi();
  ap.contexts.clear();
  bsp.steps = {Script::call(0x10006, kDriver, 1, kStacks), Script::call(0x10006, kDriver + 0x10, 1, kStacks + 8)};
  two.mmi();
  ASSERT_EQ(ap.contexts.size(), 2u);
  EXPECT_EQ(ap.contexts[1].rdx, kDriver + 0x10);
  EXPECT_EQ(ap.contexts[1].r8, kStacks + 8);
}

/// The normal world writes IA32_APIC_BASE between two MMIs.
TEST(Processors, TheBspIsTheOneOfTheFirstMmi) {
  World w(2);
  TwoCpus two(w);
  Script bsp(*w.cpu[0]);
  two.mmi();
  w.cpu[0]->bsp = false;
  w.cpu[1]->bsp = true;
  bsp.contexts.clear();
  w.request(abi::Channel::User, "11111111-2222-3333-4444-555555555555"_guid, {1});
  two.mmi();
  EXPECT_FALSE(w.machine.halted);
  ASSERT_EQ(bsp.contexts.size(), 1u);
  EXPECT_EQ(bsp.contexts[0].rcx, static_cast<u64>(abi::UserCommand::UserRequest));
}

/// A clock that stands still ends no wait; the number of polls does.
TEST(Processors, AClockThatStandsStillDoesNotHangTheRendezvous) {
  World w(2);
  w.machine.pause_us = 0;
  w.boot();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::RendezvousTimeout);
}

TEST(Processors, AbsentCpuStopsTheMachine) {
  World w(2);
  w.boot();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::RendezvousTimeout);
  World x(2);
  x.sup.enter(*x.cpu[1], 1, PhysAddr{kHobs});
  EXPECT_EQ(x.machine.halted, hal::HaltReason::RendezvousTimeout);
}

TEST(Processors, IndexBeyondTheMachine) {
  World w;
  w.sup.enter(*w.cpu[0], platform::kMaxCpus, PhysAddr{kHobs});
  EXPECT_EQ(w.machine.halted, hal::HaltReason::InitFailed);
}

}  // namespace
}  // namespace mm::test
