// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/supervisor/ring3.hpp"

#include <gtest/gtest.h>

#include "tests/unit/core_supervisor/part.hpp"

/// Ring 3 as a call, without the rest of the supervisor: the system calls are answered by the test.
namespace mm::test {
namespace {

using abi::UserCommand;
using hal::UserExit;
using hal::UserExitKind;

constexpr u64 kEntry = 0x20'1000;
constexpr u64 kDriver = 0x30'0000;
constexpr u64 kPage = 0x40'0000;
constexpr u64 kStacks = 0x50'0000;
constexpr u64 kCore = 0x60'0000;

/// Answers every system call in the same way.
struct Server {
  supervisor::SyscallResult result{};
  std::vector<u64> numbers{};
  supervisor::SyscallResult serve(supervisor::Here<fake::Machine> const&, u64 number,
                                  abi::SyscallWords const& words) noexcept {
    numbers.push_back(number);
    last = words;
    return result;
  }
  abi::SyscallWords last{};
};

struct Ring3Test : ::testing::Test, Part {
  Ring3Test() { set_up(abi::FaultPolicy::FailStop); }
  void set_up(abi::FaultPolicy policy) {
    ring3.adopt({kEntry, kStacks, 0x4000});
    auto& faults = ring3.faults();
    faults.adopt({kCore, 0x1000}, kEntry, static_cast<u32>(policy));
    faults.page().adopt(kPage);
    faults.images().room()[0] = {{kEntry - 0x1000, 0x4000}, 0};
    faults.images().room()[1] = {{kDriver, 0x4000}, 0};
    faults.images().adopt(2);
  }
  /// Ring 3 comes back like this, one after the other, then returns 0.
  void exits(std::vector<UserExit> list, u64 rip = kDriver + 8) {
    cpu.user = [this, list, rip](hal::UserContext& user) {
      entered.push_back(user);
      EXPECT_EQ(slot.in_user, 1u);
      user.rip = rip;
      std::size_t const now = entered.size() - 1;
      if (now >= list.size()) {
        user.rax = 0;
        return UserExit{UserExitKind::Return, 0, 0, 0};
      }
      return list[now];
    };
  }
  static UserExit fault(u64 vector) { return {UserExitKind::Fault, vector, 4, 0x77}; }

  supervisor::Ring3<fake::Machine> ring3;
  Server server;
  std::vector<hal::UserContext> entered;
};

TEST_F(Ring3Test, ADemotionStartsOnTheStackOfItsCpu) {
  exits({});
  auto const rax = ring3.run(here, {UserCommand::UserRequest, 0x11, 0x22}, server);
  EXPECT_EQ(rax, 0u);
  ASSERT_EQ(entered.size(), 1u);
  EXPECT_EQ(entered[0].rip, kEntry);
  EXPECT_EQ(entered[0].rcx, static_cast<u64>(UserCommand::UserRequest));
  EXPECT_EQ(entered[0].rdx, 0x11u);
  EXPECT_EQ(entered[0].r8, 0x22u);
  EXPECT_EQ(entered[0].r15, arch::kUserReturnGate);
  EXPECT_EQ(entered[0].rsp % 16, 8u);
  EXPECT_GT(entered[0].rsp, kStacks);
  EXPECT_LT(entered[0].rsp, kStacks + 0x4000);
  EXPECT_EQ(cpu.clean_count, 1u);
  EXPECT_EQ(slot.in_user, 0u);
}

TEST_F(Ring3Test, ASystemCallIsAnsweredAndTold) {
  u32 calls = 0;
  cpu.user = [&](hal::UserContext& user) {
    entered.push_back(user);
    user.rax = calls == 0 ? 0x77 : user.rax;
    user.rdx = 1, user.r8 = 2, user.r9 = 3;
    return UserExit{calls++ == 0 ? UserExitKind::Syscall : UserExitKind::Return, 0, 0, 0};
  };
  server.result = supervisor::answer(u64{0x99});
  EXPECT_EQ(ring3.run(here, {}, server), 0x99u);
  EXPECT_EQ(server.numbers, std::vector<u64>{0x77});
  EXPECT_EQ(server.last, (abi::SyscallWords{1, 2, 3}));
  auto const told = this->told<hal::event::Syscall>();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].third, 3u);
  EXPECT_EQ(told[0].rax, 0x99u);
}

TEST_F(Ring3Test, ARefusalStops) {
  exits({{UserExitKind::Syscall, 0, 0, 0}});
  server.result = supervisor::refuse(Status::AccessDenied);
  EXPECT_FALSE(ring3.run(here, {}, server));
  EXPECT_EQ(machine.halted, hal::HaltReason::SyscallRefused);
  EXPECT_EQ(told<hal::event::Halt>().at(0).second, static_cast<u64>(Status::AccessDenied));
  EXPECT_EQ(get<abi::TelemetryData>(kPage + abi::kTelemetryOffset).exception_type, supervisor::kVectorRefusedSyscall);
}

TEST_F(Ring3Test, AFaultStops) {
  exits({fault(14)});
  EXPECT_EQ(ring3.demote(here, {}, server), static_cast<u64>(Status::Aborted));
  EXPECT_EQ(machine.halted, hal::HaltReason::UserFault);
  auto const told = this->told<hal::event::Fault>();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].cr2, 0x77u);
  EXPECT_EQ(this->told<hal::event::Registers>().size(), 4u);
}

TEST_F(Ring3Test, AContainedFaultIsHandedToTheUserCore) {
  set_up(abi::FaultPolicy::Contain);
  exits({fault(14)});
  EXPECT_EQ(ring3.demote(here, {UserCommand::UserRequest, 0, 0}, server), static_cast<u64>(Status::Aborted));
  EXPECT_FALSE(machine.halted);
  ASSERT_EQ(entered.size(), 2u);
  EXPECT_EQ(entered[1].rcx, static_cast<u64>(UserCommand::UserFault));
  EXPECT_EQ(entered[1].rdx, kPage);
  auto const record = get<abi::UserFaultRecord>(kPage + abi::kUserFaultOffset);
  EXPECT_EQ(record.image_base, kDriver);
  EXPECT_EQ(record.command, static_cast<u64>(UserCommand::UserRequest));
  EXPECT_EQ(get<abi::TelemetryData>(kPage + abi::kContainedTelemetryOffset).exception_rip, kDriver + 8);
}

TEST_F(Ring3Test, AsManyFaultsAsImagesAndOneMoreStops) {
  set_up(abi::FaultPolicy::Contain);
  exits({fault(14), fault(13), fault(6)});
  ring3.demote(here, {UserCommand::UserRequest, 0, 0}, server);
  EXPECT_EQ(machine.halted, hal::HaltReason::UserFault);
  EXPECT_EQ(entered.size(), 3u);
}

TEST_F(Ring3Test, AFaultOfTheUserCoreWhileItCleansUpStops) {
  set_up(abi::FaultPolicy::Contain);
  exits({fault(14), fault(14)}, kEntry);
  ring3.demote(here, {UserCommand::UserRequest, 0, 0}, server);
  EXPECT_EQ(machine.halted, hal::HaltReason::UserFault);
  EXPECT_EQ(entered.size(), 2u);
}

TEST_F(Ring3Test, AMachineCheckIsTheCpus) {
  set_up(abi::FaultPolicy::Contain);
  exits({fault(supervisor::kVectorMachineCheck)});
  EXPECT_FALSE(ring3.run(here, {}, server));
  EXPECT_EQ(machine.halted, hal::HaltReason::SupervisorFault);
  EXPECT_EQ(told<hal::event::SupervisorFault>().at(0).vector, supervisor::kVectorMachineCheck);
}

TEST_F(Ring3Test, ASecondFaultOfRing0StopsAtOnce) {
  ring3.faults().ring0(here, {13, 0, kCore + 8, 0});
  EXPECT_EQ(get<abi::TelemetryData>(kPage + abi::kTelemetryOffset).driver_load_address, kCore);
  std::size_t const told = machine.events.size();
  ring3.faults().ring0(here, {13, 0, kCore + 8, 0});
  EXPECT_EQ(machine.events.size(), told);
}

TEST_F(Ring3Test, ABudgetOfSystemCalls) {
  cpu.user = [](hal::UserContext&) { return UserExit{UserExitKind::Syscall, 0, 0, 0}; };
  EXPECT_FALSE(ring3.run(here, {}, server));
  EXPECT_EQ(machine.halted, hal::HaltReason::UserBudget);
  EXPECT_EQ(server.numbers.size(), std::size_t{supervisor::kSyscallsPerEntry});
  EXPECT_EQ(told<hal::event::Syscall>().size(), supervisor::kToldSyscalls);
  auto const exits = told<hal::event::UserExit>();
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_EQ(exits[0].untold, supervisor::kSyscallsPerEntry + 1 - supervisor::kToldSyscalls);
}

TEST_F(Ring3Test, ARequestLearnsWhoListens) {
  EXPECT_TRUE(ring3.has_root_handlers());
  cpu.user = [&](hal::UserContext& user) {
    EXPECT_EQ(get<abi::MmEntryContext>(kPage).number_of_cpus, 4u);
    put(kPage + abi::kUserStatusOffset, abi::CommBufferStatus{1, {}, 5, 6});
    put(kPage + abi::kUserRootsOffset, abi::kNoRootHandlers);
    user.rax = 0;
    return UserExit{UserExitKind::Return, 0, 0, 0};
  };
  auto const reply = ring3.request(here, 4, {}, server);
  EXPECT_EQ(reply.return_status, 5u);
  EXPECT_EQ(reply.return_buffer_size, 6u);
  EXPECT_FALSE(ring3.has_root_handlers());
  EXPECT_EQ(cpu.user_access, 0);
}

TEST_F(Ring3Test, TheErrorReportIsSetOnce) {
  EXPECT_EQ(ring3.set_error_report(kDriver), Status::Success);
  EXPECT_EQ(ring3.set_error_report(kDriver), Status::AlreadyStarted);
}

}  // namespace
}  // namespace mm::test
