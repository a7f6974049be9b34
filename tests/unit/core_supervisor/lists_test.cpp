// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "core/abi/syscalls.hpp"
#include "hal/roles/trace.hpp"

/// The lists of system calls and events: what they promise to everybody who makes something from them.
namespace mm::test {
namespace {

using abi::Syscall;

struct TestOf {
  Syscall call;
  char const* suite;
  char const* test;
};
/// Where each system call is tried, with what it refuses.
constexpr TestOf kTests[] = {
    {Syscall::RdMsr, "SyscallTest", "PolicyGate"},
    {Syscall::WrMsr, "SyscallTest", "PolicyGate"},
    {Syscall::Cli, "SyscallTest", "PolicyGate"},
    {Syscall::IoRead, "SyscallTest", "PolicyGate"},
    {Syscall::IoWrite, "SyscallTest", "PolicyGate"},
    {Syscall::Wbinvd, "SyscallTest", "PolicyGate"},
    {Syscall::Hlt, "SyscallTest", "PolicyGate"},
    {Syscall::SaveStateRead, "SyscallTest", "SaveState"},
    {Syscall::AllocPage, "SyscallTest", "Pages"},
    {Syscall::FreePage, "SyscallTest", "Pages"},
    {Syscall::StartApProc, "Processors", "BadApRequests"},
    {Syscall::QueryHob, "SyscallTest", "BuffersLentToRing3CannotBeFreed"},
    {Syscall::ErrorReportJump, "SyscallTest", "ErrorReportJumpOnce"},
    {Syscall::SaveStateRead2, "SyscallTest", "SaveState"},
    {Syscall::MmUnblocked, "SyscallTest", "CommBufferAndUnblocked"},
    {Syscall::MmIsCommBuffer, "SyscallTest", "CommBufferAndUnblocked"},
    {Syscall::TraceNote, "Mmi", "TraceNoteIsOneEvent"},
};

bool exists(TestOf const& wanted) {
  auto const& all = *::testing::UnitTest::GetInstance();
  for (int s = 0; s < all.total_test_suite_count(); ++s) {
    auto const& suite = *all.GetTestSuite(s);
    for (int t = 0; std::string(suite.name()) == wanted.suite && t < suite.total_test_count(); ++t) {
      if (std::string(suite.GetTestInfo(t)->name()) == wanted.test) {
        return true;
      }
    }
  }
  return false;
}

TEST(SyscallList, EachRowHasATest) {
  for (auto const& row : abi::kSyscalls) {
    auto const* const at = std::ranges::find(kTests, row.number, &TestOf::call);
    ASSERT_NE(at, std::end(kTests)) << row.name;
    EXPECT_TRUE(exists(*at)) << row.name << ": " << at->suite << '.' << at->test;
  }
}

TEST(SyscallList, FindsRowsByNumber) {
  for (auto const& row : abi::kSyscalls) {
    EXPECT_EQ(abi::find_syscall(static_cast<u64>(row.number)), &row);
  }
  EXPECT_EQ(abi::find_syscall(0x8), nullptr);
  EXPECT_STREQ(abi::name_of(Syscall::ErrorReportJump), "ERR_RPT_JMP");
  EXPECT_EQ(abi::name_of(static_cast<Syscall>(0x10000)), nullptr);
}

TEST(SyscallList, ArgumentsAreTheRegistersInOrder) {
  auto const call = abi::arguments_of<abi::call::StartApProc>({1, 2, 3});
  EXPECT_EQ(call.procedure, UserAddr{1});
  EXPECT_EQ(call.cpu, 2u);
  EXPECT_EQ(call.argument, UserAddr{3});
  EXPECT_EQ(abi::arguments_of<abi::call::RdMsr>({7, 8, 9}).msr, 7u);
}

TEST(SyscallList, NotesHaveNames) {
  EXPECT_STREQ(abi::name_of(abi::UserNote::DriverNeeds), "DriverNeeds");
  EXPECT_STREQ(abi::name_of(abi::UserNote::DriverDefect), "DriverDefect");
  EXPECT_EQ(abi::name_of(abi::UserNote{11}), nullptr);
}

TEST(EventList, PackingKeepsEveryField) {
  hal::event::PolicyRefusal const event{1, 2, 3, 4, 5, 6};
  auto const packed = hal::pack(event, 7, 9);
  EXPECT_EQ(packed, (hal::TraceEvent{hal::TraceKind::PolicyRefusal, 7, 9, 1, 2, 3, 4, 5, 6, 0}));
  auto const back = hal::unpack<hal::event::PolicyRefusal>(packed);
  EXPECT_EQ(back.config_address, 6u);
  EXPECT_EQ(back.type, 1u);
}

TEST(EventList, NarrowEnumeratorsAndGuidsAreWords) {
  constexpr Guid kName = "11223344-5566-7788-99AA-BBCCDDEEFF00"_guid;
  auto const packed = hal::pack(hal::event::RequestDecoded{abi::Channel::User, kName, 3, 1}, 0, 0);
  auto const words = std::bit_cast<std::array<u64, 2>>(kName);
  EXPECT_EQ(packed, (hal::TraceEvent{hal::TraceKind::RequestDecoded, 0, 0, 1, words[0], words[1], 3, 1, 0, 0}));
  auto const back = hal::unpack<hal::event::RequestDecoded>(packed);
  EXPECT_EQ(back.channel, abi::Channel::User);
  EXPECT_EQ(back.guid, kName);
  EXPECT_EQ(hal::pack(hal::event::CpuInitialised{}, 2, 1), (hal::TraceEvent{hal::TraceKind::CpuInitialised, 2, 1}));
}

TEST(EventList, AVisitorGetsTheStruct) {
  u64 bytes = 0;
  auto const of = [&bytes](auto const& event) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(event)>, hal::event::CopyOut>) {
      bytes = event.bytes;
    }
  };
  EXPECT_TRUE(hal::visit(hal::pack(hal::event::CopyOut{abi::Channel::User, 7, 0}, 0, 0), of));
  EXPECT_EQ(bytes, 7u);
  EXPECT_FALSE(hal::visit(hal::TraceEvent{hal::TraceKind{99}, 0, 0}, of));
}

/// What is on a debug console that somebody recorded long ago must still be read.
TEST(EventList, NumbersDoNotChange) {
  constexpr char const* kNames[] = {"MmiEntry",
                                    "CpuInitialised",
                                    "Rendezvous",
                                    "CopyIn",
                                    "RequestDecoded",
                                    "RequestRefused",
                                    "UserEnter",
                                    "UserExit",
                                    "Syscall",
                                    "PolicyRefusal",
                                    "Fault",
                                    "SupervisorFault",
                                    "Contained",
                                    "ApProcedure",
                                    "Lock",
                                    "CopyOut",
                                    "MmiExit",
                                    "Unblocked",
                                    "UserNote",
                                    "ImageLoaded",
                                    "ImageRefused",
                                    "Halt",
                                    "UserPageAllocated",
                                    "UserPageFreed",
                                    "MemoryMap",
                                    "Registers",
                                    "Telemetry"};
  ASSERT_GE(hal::kEvents.size(), std::size(kNames));
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    EXPECT_STREQ(hal::name_of(static_cast<hal::TraceKind>(i + 1)), kNames[i]);
  }
  EXPECT_EQ(hal::name_of(hal::TraceKind{0}), nullptr);
}

TEST(EventList, VocabulariesHaveNames) {
  EXPECT_STREQ(hal::name_of(hal::HaltReason::PolicyInvalid), "PolicyInvalid");
  EXPECT_STREQ(hal::name_of(hal::LockEvent::PolicyFetched), "PolicyFetched");
  EXPECT_STREQ(hal::name_of(hal::UserExitKind::Budget), "budget");
  EXPECT_EQ(hal::name_of(hal::HaltReason{0}), nullptr);
  EXPECT_EQ(hal::name_of(hal::LockEvent{9}), nullptr);
}

}  // namespace
}  // namespace mm::test
