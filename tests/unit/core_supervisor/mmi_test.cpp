// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "tests/support/supervisor_world.hpp"

namespace mm::test {
namespace {

using abi::Channel;
using hal::TraceKind;
constexpr Guid kSomeGuid = "AAAAAAAA-2222-3333-4444-555555555555"_guid;
constexpr u64 kBufferBytes = 16 * kPageSize;

/// User core's part of one request: reply `bytes` with `status`.
Script::Step reply(World& w, u64 bytes, u64 status = 0) {
  return [&w, bytes, status](hal::UserContext& c) {
    w.put(c.rdx + abi::kUserStatusOffset + 8, status);
    w.put(c.rdx + abi::kUserStatusOffset + 16, bytes);
    return Script::ret(c, 0);
  };
}
/// Address of the internal user buffer, from the HOB list that ring 3 got.
u64 internal_user_buffer(World& w, u64 hobs) {
  for (u64 at = hobs;;) {
    auto const h = w.get<abi::HobHeader>(at);
    if (h.type == 4 && w.get<abi::HobGuid>(at).name == guids::gMmCommBufferHobGuid) {
      return w.get<u64>(at + 24);
    }
    at += h.length;
  }
}

TEST(FirstMmi, StartsUserCoreOnceWithCleanRegisters) {
  World w;
  Script s(*w.cpu[0]);
  w.boot();
  ASSERT_FALSE(w.machine.halted);
  ASSERT_EQ(s.contexts.size(), 1u);
  auto const& c = s.contexts[0];
  EXPECT_EQ(c.rip, kUserCore + 0x1000);
  EXPECT_EQ(c.rcx, 0u);
  EXPECT_EQ(c.r15, 0x63ull << 32);
  EXPECT_EQ(c.rsp % 16, 8u);
  EXPECT_GE(c.rsp, kStacks);
  EXPECT_LE(c.rsp + 8 + 0x20, kStacks + kStackBytes);
  for (u64 const v : {c.rax, c.rbx, c.rbp, c.rsi, c.rdi, c.r8, c.r9, c.r10, c.r11, c.r12, c.r13, c.r14}) {
    EXPECT_EQ(v, 0u);
  }
  EXPECT_EQ(*w.tables().query(c.rdx), memory::kUserReadOnly);
  EXPECT_EQ(w.get<u8>(kData + 0x800), 1);
  EXPECT_EQ(*w.tables().query(internal_user_buffer(w, c.rdx)), memory::kUserData);
}

TEST(FirstMmi, RefusesInvalidPolicy) {
  World w;
  w.set_policy(std::vector<u8>(40, 0));
  w.boot();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::PolicyInvalid);
}

struct Mmi : ::testing::Test {
  void SetUp() override {
    w.boot();
    ASSERT_FALSE(w.machine.halted);
    internal = internal_user_buffer(w, s.contexts[0].rdx);
    w.machine.events.clear();
    w.machine.reads.clear();
    s.contexts.clear();
  }
  u64 fetches_of(u64 address) const {
    return static_cast<u64>(std::count_if(w.machine.reads.begin(), w.machine.reads.end(),
                                          [&](Range r) { return r.contains({address, 1}); }));
  }
  World w;
  Script s{*w.cpu[0]};
  u64 internal = 0;
};

TEST_F(Mmi, UserRequestRoundTrip) {
  w.request(Channel::User, kSomeGuid, {1, 2, 3, 4});
  s.steps = {[&](hal::UserContext& c) {
    EXPECT_EQ(c.rcx, 1u);
    EXPECT_EQ(c.r8, 40u);
    EXPECT_EQ(w.get<u64>(c.rdx + 16), 1u);
    EXPECT_EQ(w.get<u8>(c.rdx + 40), 1u);
    EXPECT_EQ(w.get<u32>(internal + 24), 0x04030201u);
    w.put(internal + 24, u32{0x55667788});
    return reply(w, 28)(c);
  }};
  w.mmi();
  auto const st = w.status(Channel::User);
  EXPECT_EQ(st.is_comm_buffer_valid, 0);
  EXPECT_EQ(st.return_status, 0u);
  EXPECT_EQ(st.return_buffer_size, 28u);
  EXPECT_EQ(w.get<u32>(platform::kUserCommBuffer + 24), 0x55667788u);
  for (u64 offset = 0; offset < 28; ++offset) {
    EXPECT_EQ(fetches_of(platform::kUserCommBuffer + offset), 1u) << offset;
  }
  EXPECT_EQ(fetches_of(platform::kUserCommBuffer + 28), 0u);
}

TEST_F(Mmi, UserWinsAndSupervisorStaysPending) {
  w.request(Channel::User, kSomeGuid, {1});
  w.request(Channel::Supervisor, kSomeGuid, {1});
  w.mmi();
  EXPECT_EQ(w.status(Channel::User).is_comm_buffer_valid, 0);
  EXPECT_EQ(w.status(Channel::Supervisor).is_comm_buffer_valid, 1);
  w.mmi();
  EXPECT_EQ(w.status(Channel::Supervisor).is_comm_buffer_valid, 0);
  EXPECT_EQ(w.status(Channel::Supervisor).return_status, static_cast<u64>(Status::NotFound));
}

TEST_F(Mmi, EveryEdgeOfTheMessageLength) {
  struct Case {
    u64 length;
    bool good;
  };
  for (auto const& [length, good] :
       {Case{0, true}, Case{1, true}, Case{kBufferBytes - 25, true}, Case{kBufferBytes - 24, true},
        Case{kBufferBytes - 23, false}, Case{kBufferBytes, false}, Case{UINT64_MAX - 24, false},
        Case{UINT64_MAX - 23, false}, Case{UINT64_MAX, false}}) {
    for (Channel const which : {Channel::User, Channel::Supervisor}) {
      w.request(which, kSomeGuid, {}, length);
      w.mmi();
      bool const bad = w.status(which).return_status == static_cast<u64>(Status::BadBufferSize);
      EXPECT_EQ(bad, !good) << length;
      EXPECT_EQ(w.status(which).is_comm_buffer_valid, 0);
      if (bad) {
        EXPECT_EQ(w.status(which).return_buffer_size, 0u);
      }
    }
  }
  EXPECT_FALSE(w.machine.halted);
}

TEST_F(Mmi, HeaderV3) {
  abi::CommunicateHeaderV3 h{guids::gEfiMmCommunicateHeaderV3Guid, 0, 0, kSomeGuid, 0};
  auto const status_of = [&](u64 buffer, u64 message, Channel which = Channel::User) {
    h.buffer_size = buffer;
    h.message_size = message;
    w.put(which == Channel::User ? platform::kUserCommBuffer : platform::kSupervisorCommBuffer, h);
    w.ring(which);
    w.mmi();
    return static_cast<Status>(w.status(which).return_status);
  };
  EXPECT_EQ(status_of(56, 0), Status{0x77});
  EXPECT_EQ(status_of(60, 4), Status{0x77});
  EXPECT_EQ(status_of(kBufferBytes, kBufferBytes - 56), Status{0x77});
  EXPECT_EQ(status_of(55, 0), Status::BadBufferSize);
  EXPECT_EQ(status_of(60, 5), Status::BadBufferSize);
  EXPECT_EQ(status_of(kBufferBytes + 1, 0), Status::BadBufferSize);
  EXPECT_EQ(status_of(UINT64_MAX, UINT64_MAX - 55), Status::BadBufferSize);
  EXPECT_EQ(status_of(60, 4, Channel::Supervisor), Status::Unsupported);
}

/// Replies of both headers, from none to the whole buffer: what ring 3 says is copied, and nothing more is said.
TEST_F(Mmi, RepliesOfEverySizeInBothHeaders) {
  u32 tried = 0;
  for (u64 const header : {sizeof(abi::CommunicateHeader), sizeof(abi::CommunicateHeaderV3)}) {
    for (u64 size = header; size <= kBufferBytes; size += size < header + 64 || size + 1024 > kBufferBytes ? 1 : 509) {
      if (header == sizeof(abi::CommunicateHeader)) {
        w.request(Channel::User, kSomeGuid, {1, 2, 3});
      } else {
        w.put(platform::kUserCommBuffer,
              abi::CommunicateHeaderV3{guids::gEfiMmCommunicateHeaderV3Guid, header + 3, 0, kSomeGuid, 3});
        w.ring(Channel::User);
      }
      u8 const mark = static_cast<u8>(size * 7 + 1);
      if (size < kBufferBytes) {
        w.put(platform::kUserCommBuffer + size, u8{0xE7});
      }
      s.steps.push_back([&, fill = reply(w, size)](hal::UserContext& context) {
        w.put(internal + size - 1, mark);
        return fill(context);
      });
      w.mmi();
      ASSERT_EQ(w.status(Channel::User).return_buffer_size, size);
      ASSERT_EQ(w.get<u8>(platform::kUserCommBuffer + size - 1), mark) << size;
      ASSERT_TRUE(size == kBufferBytes || w.get<u8>(platform::kUserCommBuffer + size) == 0xE7) << size;
      ++tried;
    }
  }
  EXPECT_GE(tried, 1900u);
}

TEST_F(Mmi, Ring3CannotInflateTheReply) {
  for (u64 const size : {kBufferBytes + 1, UINT64_MAX}) {
    w.request(Channel::User, kSomeGuid, {1});
    w.put(platform::kUserCommBuffer + 100, u32{0xABCD});
    s.steps.push_back(reply(w, size));
    w.mmi();
    EXPECT_EQ(w.status(Channel::User).return_status, static_cast<u64>(Status::BadBufferSize));
    EXPECT_EQ(w.status(Channel::User).return_buffer_size, 0u);
    EXPECT_TRUE(w.machine.of(TraceKind::CopyOut).empty());
  }
  w.request(Channel::User, kSomeGuid, {1});
  s.steps.push_back(reply(w, kBufferBytes));
  w.mmi();
  EXPECT_EQ(w.status(Channel::User).return_buffer_size, kBufferBytes);
}

TEST_F(Mmi, ShorterMessageDoesNotShowTheLongerOne) {
  w.request(Channel::User, kSomeGuid, std::vector<u8>(5000, 0xEE));
  s.steps = {reply(w, 0), [&](hal::UserContext& c) {
               for (u64 at = 24 + 4; at < 5024; ++at) {
                 EXPECT_EQ(w.get<u8>(internal + at), 0);
               }
               return reply(w, 0)(c);
             }};
  w.mmi();
  w.request(Channel::User, kSomeGuid, {1, 2, 3, 4});
  w.mmi();
  EXPECT_EQ(s.contexts.size(), 2u);
}

TEST_F(Mmi, WhatRing3WroteBehindMessageAndReplyIsCleared) {
  constexpr u64 kAt[] = {24 + 4, 24 + 100, kPageSize - 1};
  s.steps = {[&](hal::UserContext& c) {
               for (u64 const at : kAt) {
                 w.put(internal + at, u8{0xEE});
               }
               return reply(w, 24 + 2)(c);
             },
             [&](hal::UserContext& c) {
               for (u64 const at : kAt) {
                 EXPECT_EQ(w.get<u8>(internal + at), 0) << at;
               }
               return reply(w, kPageSize)(c);
             }};
  w.request(Channel::User, kSomeGuid, {1, 2, 3, 4});
  w.mmi();
  w.request(Channel::User, kSomeGuid, {1, 2, 3, 4});
  w.mmi();
  EXPECT_EQ(s.contexts.size(), 2u);
}

TEST_F(Mmi, WithoutAReplyTheWholeBufferIsCleared) {
  for (u64 const size : {u64{0}, kBufferBytes + 1, UINT64_MAX}) {
    s.steps.push_back([&, size](hal::UserContext& c) {
      EXPECT_EQ(w.get<u8>(internal + kBufferBytes - 1), 0) << size;
      w.put(internal + kBufferBytes - 1, u8{0xEE});
      return reply(w, size)(c);
    });
    w.request(Channel::User, kSomeGuid, {1});
    w.mmi();
  }
  s.steps.push_back([&](hal::UserContext& c) {
    EXPECT_EQ(w.get<u8>(internal + kBufferBytes - 1), 0);
    return reply(w, 24)(c);
  });
  w.request(Channel::User, kSomeGuid, {1});
  w.mmi();
  EXPECT_EQ(s.contexts.size(), 4u);
}

TEST_F(Mmi, AsynchronousWhenNothingIsPending) {
  w.mmi();
  ASSERT_EQ(s.contexts.size(), 1u);
  EXPECT_EQ(s.contexts[0].rcx, 1u);
  EXPECT_EQ(w.get<u8>(s.contexts[0].rdx + 40), 0);
  EXPECT_EQ(w.machine.of(TraceKind::MmiExit).at(0).a, static_cast<u64>(Channel::None));
}

TEST_F(Mmi, Ring3IsNotAskedWhenItHasNoRootHandlers) {
  auto const says = [&](u64 word) {
    return [this, word](hal::UserContext& c) {
      EXPECT_EQ(w.get<u64>(c.rdx + abi::kUserRootsOffset), 0u);  // what it said before is gone
      w.put(c.rdx + abi::kUserRootsOffset, word);
      return Script::ret(c, 0);
    };
  };
  s.steps = {says(1), says(abi::kNoRootHandlers), says(0)};
  w.mmi();
  w.mmi();
  EXPECT_EQ(s.contexts.size(), 2u);
  w.mmi();
  EXPECT_EQ(s.contexts.size(), 2u);
  EXPECT_EQ(w.machine.of(TraceKind::MmiExit).back().a, static_cast<u64>(Channel::None));
  w.request(Channel::User, kSomeGuid, {1});
  w.mmi();
  EXPECT_EQ(s.contexts.size(), 3u);
  w.mmi();
  EXPECT_EQ(s.contexts.size(), 4u);
}

TEST_F(Mmi, ExitBootServicesClosesTheSupervisorChannel) {
  w.request(Channel::Supervisor, guids::gEfiEventExitBootServicesGuid, {0});
  w.mmi();
  EXPECT_EQ(w.status(Channel::Supervisor).return_status, 0u);
  w.request(Channel::Supervisor, guids::gMmSupervisorRequestHandlerGuid, std::vector<u8>(40, 0));
  w.mmi();
  EXPECT_EQ(w.status(Channel::Supervisor).return_status, static_cast<u64>(Status::AccessDenied));
  EXPECT_EQ(w.status(Channel::Supervisor).is_comm_buffer_valid, 0);
  EXPECT_EQ(w.status(Channel::Supervisor).return_buffer_size, 0u);
  w.request(Channel::User, kSomeGuid, {1});
  w.mmi();
  EXPECT_EQ(w.status(Channel::User).is_comm_buffer_valid, 0);
}

TEST_F(Mmi, RsmInRing3IsDetectedAtTheNextMmi) {
  s.steps = {[&](hal::UserContext& c) {
    w.mmi();  // what RSM and another MMI look like from inside
    return Script::ret(c, 0);
  }};
  w.mmi();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::RsmBreach);
}

TEST_F(Mmi, SupervisorFaultStops) {
  w.sup.supervisor_fault(*w.cpu[0], 14, 2, 0x1234, 0x5678);
  EXPECT_EQ(w.machine.halted, hal::HaltReason::SupervisorFault);
  EXPECT_EQ(w.machine.of(TraceKind::SupervisorFault).at(0).d, 0x5678u);
}

TEST_F(Mmi, SupervisorFaultLeavesTelemetry) {
  w.mmi();
  u64 const page = s.contexts.at(0).rdx;
  w.sup.supervisor_fault(*w.cpu[0], 14, 2, kCore + 0x1234, 0x5678);
  auto const record = w.get<abi::TelemetryData>(page + abi::kTelemetryOffset);
  EXPECT_EQ(record.driver_id, guids::gMmSupervisorCoreGuid);
  EXPECT_EQ(record.driver_load_address, kCore);
  EXPECT_EQ(record.context.cr2, 0x5678u);
  EXPECT_EQ(record.context.cs, 0x38u);
  EXPECT_EQ(w.cpu[0]->user_access, 0);
}

TEST(SupervisorFault, BeforeTheFirstMmiLeavesOnlyTheEvent) {
  World w;
  w.sup.supervisor_fault(*w.cpu[0], 14, 2, kCore, 0);
  EXPECT_EQ(w.machine.halted, hal::HaltReason::SupervisorFault);
  EXPECT_EQ(w.machine.of(TraceKind::SupervisorFault).size(), 1u);
}

TEST_F(Mmi, SecondSupervisorFaultStopsAtOnce) {
  w.sup.supervisor_fault(*w.cpu[0], 14, 2, 0x1234, 0x5678);
  w.sup.supervisor_fault(*w.cpu[0], 13, 0, 0x9999, 0);
  EXPECT_EQ(w.machine.of(TraceKind::SupervisorFault).size(), 1u);
  EXPECT_EQ(w.machine.of(TraceKind::Halt).size(), 1u);
}

TEST_F(Mmi, FaultLeavesTelemetry) {
  s.steps = {[](hal::UserContext& c) {
    c.rax = 1, c.rbx = 2, c.rcx = 3, c.rdx = 4, c.rsi = 5, c.rdi = 6, c.rbp = 7, c.r8 = 8, c.r15 = 15;
    c.rip = kDriver + 0x1010;
    c.rflags = 0x10246;
    return hal::UserExit{hal::UserExitKind::Fault, 14, 6, 0x666};
  }};
  w.mmi();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::UserFault);
  auto const record = w.get<abi::TelemetryData>(s.contexts[0].rdx + abi::kTelemetryOffset);
  EXPECT_EQ(record.signature, 0x5456534Du);
  EXPECT_EQ(record.telemetry_size, 904u);
  EXPECT_EQ(record.exception_type, 14u);
  EXPECT_EQ(record.exception_rip, kDriver + 0x1010);
  EXPECT_EQ(record.driver_load_address, kDriver);
  EXPECT_EQ(record.driver_id, "11111111-2222-3333-4444-555555555555"_guid);
  EXPECT_EQ(record.context.exception_data, 6u);
  EXPECT_EQ(record.context.cr2, 0x666u);
  EXPECT_EQ(record.context.rip, kDriver + 0x1010);
  EXPECT_EQ(record.context.rax, 1u);
  EXPECT_EQ(record.context.rdi, 6u);
  EXPECT_EQ(record.context.r15, 15u);
  auto const registers = w.machine.of(TraceKind::Registers);
  ASSERT_EQ(registers.size(), 4u);
  EXPECT_EQ(registers[0].b, 1u);
  EXPECT_EQ(registers[1].b, 6u);
  EXPECT_EQ(registers[3].c, kDriver + 0x1010);
  EXPECT_EQ(registers[3].d, 0x246u);  // without RF
}

TEST_F(Mmi, TelemetryOfCodeOutsideEveryImage) {
  s.steps = {Script::fault(14, 0x1234, 0x1234)};
  w.mmi();
  auto const record = w.get<abi::TelemetryData>(s.contexts[0].rdx + abi::kTelemetryOffset);
  EXPECT_EQ(record.driver_load_address, 0x1234u);
  EXPECT_TRUE(record.driver_id.is_zero());
}

TEST_F(Mmi, TelemetryOfARefusedSystemCall) {
  s.steps = {[](hal::UserContext& c) {
    c.rip = kDriver + 0x20;
    return Script::call(0x12345, 1, 2, 3)(c);
  }};
  w.mmi();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::SyscallRefused);
  auto const record = w.get<abi::TelemetryData>(s.contexts[0].rdx + abi::kTelemetryOffset);
  EXPECT_EQ(record.exception_type, supervisor::kVectorRefusedSyscall);
  EXPECT_EQ(record.context.exception_data, 0x12345u);
  EXPECT_EQ(record.context.rax, 0x12345u);
  EXPECT_EQ(record.context.cr2, static_cast<u64>(Status::InvalidParameter));
  EXPECT_EQ(record.driver_load_address, kDriver);
}

TEST_F(Mmi, BudgetStops) {
  s.steps = {[](hal::UserContext&) { return hal::UserExit{hal::UserExitKind::Budget, 0, 0, 0}; }};
  w.mmi();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::UserBudget);
  EXPECT_EQ(w.machine.of(TraceKind::Halt).at(0).b, supervisor::kVectorBudget);
}

TEST_F(Mmi, SystemCallsOfAnEntryAreCounted) {
  u64 left = 0;
  w.cpu[0]->user = [&left](hal::UserContext& c) { return left-- == 0 ? Script::ret(c, 0) : Script::call(0x10023)(c); };
  for (int entry = 0; entry < 2; ++entry) {  // as many as there may be, in each of two entries
    left = supervisor::kSyscallsPerEntry;
    w.mmi();
    ASSERT_FALSE(w.machine.halted.has_value()) << entry;
    EXPECT_EQ(w.machine.of(TraceKind::UserExit).back().c, supervisor::kSyscallsPerEntry - supervisor::kToldSyscalls);
  }
  EXPECT_EQ(w.machine.of(TraceKind::Syscall).size(), 2 * supervisor::kToldSyscalls);
  left = supervisor::kSyscallsPerEntry + u64{1};
  w.mmi();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::UserBudget);
  EXPECT_EQ(w.machine.of(TraceKind::Fault).at(0).a, supervisor::kVectorBudget);
}

TEST_F(Mmi, TraceNoteIsOneEvent) {
  s.steps = {Script::call(0x20000, 4, 5, 6)};
  w.mmi();
  auto const notes = w.machine.of(TraceKind::UserNote);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0].a, 4u);
  EXPECT_EQ(notes[0].b, 5u);
  EXPECT_EQ(notes[0].c, 6u);
  EXPECT_EQ(s.contexts.at(1).rax, 0u);
  EXPECT_TRUE(w.machine.of(TraceKind::Syscall).empty());
  EXPECT_FALSE(w.machine.halted);
}

TEST_F(Mmi, FaultStopsByDefault) {
  s.steps = {Script::fault(14, kDriver + 0x1010, 0x666)};
  w.mmi();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::UserFault);
  EXPECT_EQ(w.machine.of(TraceKind::Fault).at(0).d, 0x666u);
  EXPECT_TRUE(w.machine.of(TraceKind::Contained).empty());
}

/// A machine check is the CPU's, whoever it interrupts: no driver pays, and nothing goes on.
TEST(Containment, AMachineCheckStops) {
  World w(1, 1);
  Script s(*w.cpu[0]);
  w.boot();
  w.request(Channel::User, kSomeGuid, {1});
  s.steps = {Script::fault(18, kDriver + 0x1010)};
  w.mmi();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::SupervisorFault);
  EXPECT_TRUE(w.machine.of(TraceKind::Contained).empty());
}

/// Also the one that tells the user core of a fault: what was on the x87 stack then is gone.
TEST(Containment, EveryDemotionStartsFromACleanState) {
  World w(1, 1);
  Script s(*w.cpu[0]);
  w.boot();
  w.request(Channel::User, kSomeGuid, {1});
  u32 const before = w.cpu[0]->clean_count;
  s.steps = {Script::fault(16, kDriver + 0x1010), reply(w, 0, 0)};
  w.mmi();
  EXPECT_EQ(w.cpu[0]->clean_count - before, 2u);
}

TEST(Containment, UserCoreIsToldAndAnswers) {
  World w(1, 1);
  Script s(*w.cpu[0]);
  w.boot();
  w.request(Channel::User, kSomeGuid, {1, 2});
  s.steps = {Script::fault(14, kDriver + 0x1010, 0x666), [&](hal::UserContext& c) {
               EXPECT_EQ(c.rcx, static_cast<u64>(abi::UserCommand::UserFault));
               auto const record = w.get<abi::UserFaultRecord>(c.rdx + abi::kUserFaultOffset);
               EXPECT_EQ(record.vector, 14u);
               EXPECT_EQ(record.cr2, 0x666u);
               EXPECT_EQ(record.image_base, kDriver);
               EXPECT_EQ(record.command, 1u);
               return reply(w, 0, static_cast<u64>(Status::Aborted))(c);
             }};
  w.mmi();
  EXPECT_FALSE(w.machine.halted);
  EXPECT_EQ(w.status(Channel::User).return_status, static_cast<u64>(Status::Aborted));
  EXPECT_EQ(w.status(Channel::User).is_comm_buffer_valid, 0);
  EXPECT_EQ(w.machine.of(TraceKind::Contained).at(0).a, kDriver);
}

/// The record of the last contained fault, from the page that a demotion was given.
abi::TelemetryData contained_record(World& w, u64 page) {
  return w.get<abi::TelemetryData>(page + abi::kContainedTelemetryOffset);
}

TEST(Containment, LeavesTelemetryThatTheNextMessageKeeps) {
  World w(1, 1);
  Script s(*w.cpu[0]);
  w.boot();
  u64 page = 0;
  w.request(Channel::User, kSomeGuid, {1, 2});
  s.steps = {[](hal::UserContext& c) {
               c.rax = 1, c.r15 = 15;
               c.rip = kDriver + 0x1010;
               return hal::UserExit{hal::UserExitKind::Fault, 14, 6, 0x666};
             },
             [&](hal::UserContext& c) {
               page = c.rdx;
               EXPECT_EQ(w.get<abi::UserFaultRecord>(page + abi::kUserFaultOffset).rip, kDriver + 0x1010);
               return reply(w, 0, static_cast<u64>(Status::Aborted))(c);
             }};
  w.mmi();
  EXPECT_EQ(w.status(Channel::User).return_status, static_cast<u64>(Status::Aborted));
  w.request(Channel::User, kSomeGuid, {1, 2});
  w.mmi();
  auto const record = contained_record(w, page);
  EXPECT_EQ(record.signature, 0x5456534Du);
  EXPECT_EQ(record.exception_type, 14u);
  EXPECT_EQ(record.driver_id, "11111111-2222-3333-4444-555555555555"_guid);
  EXPECT_EQ(record.driver_load_address, kDriver);
  EXPECT_EQ(record.context.exception_data, 6u);
  EXPECT_EQ(record.context.cr2, 0x666u);
  EXPECT_EQ(record.context.rax, 1u);
  EXPECT_EQ(record.context.r15, 15u);
  EXPECT_EQ(w.get<u32>(page + abi::kTelemetryOffset) == record.signature, false);
  auto const told = w.machine.of(TraceKind::Telemetry);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].a, abi::kContainedTelemetryOffset);
  EXPECT_EQ(told[0].b, 14u);
  EXPECT_EQ(told[0].c, 6u);
  EXPECT_EQ(told[0].d, kDriver + 0x1010);
  EXPECT_EQ(told[0].e, 0x666u);
  EXPECT_EQ(told[0].f, kDriver);
  EXPECT_EQ(w.cpu[0]->user_access, 0);
}

TEST(Containment, FaultOfTheCleanUpLeavesItsRecordWhereTheMachineStops) {
  World w(1, 1);
  Script s(*w.cpu[0]);
  w.boot();
  s.steps = {Script::fault(13, kDriver + 0x1010), Script::fault(14, kUserCore + 0x1010, 0x77)};
  w.mmi();
  u64 const page = s.contexts.at(1).rdx;
  EXPECT_EQ(contained_record(w, page).exception_type, 13u);
  EXPECT_EQ(w.get<abi::TelemetryData>(page + abi::kTelemetryOffset).exception_type, 14u);
  EXPECT_EQ(w.machine.of(TraceKind::Telemetry).at(1).a, abi::kTelemetryOffset);
}

TEST(Containment, FaultOfTheUserCoreWhileItCleansUpStops) {
  World w(1, 1);
  Script s(*w.cpu[0]);
  w.boot();
  s.steps = {Script::fault(13, kDriver + 0x1010), Script::fault(13, kUserCore + 0x1010)};
  w.mmi();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::UserFault);
  EXPECT_EQ(w.machine.of(TraceKind::Contained).size(), 1u);
}

TEST(Containment, TheNextFaultyDriverIsContainedToo) {
  World w(1, 1);
  Script s(*w.cpu[0]);
  w.boot();
  w.request(Channel::User, kSomeGuid, {1, 2});
  auto const refused = [](hal::UserContext& c) {
    c.rip = kDriver + 0x1020;
    return Script::call(0x12345)(c);
  };
  s.steps = {Script::fault(13, kDriver + 0x1010), refused, [&](hal::UserContext& c) {
               EXPECT_EQ(c.rcx, static_cast<u64>(abi::UserCommand::UserFault));
               auto const record = w.get<abi::UserFaultRecord>(c.rdx + abi::kUserFaultOffset);
               EXPECT_EQ(record.vector, supervisor::kVectorRefusedSyscall);
               EXPECT_EQ(record.command, static_cast<u64>(abi::UserCommand::UserFault));
               return reply(w, 0, 0)(c);
             }};
  w.mmi();
  EXPECT_FALSE(w.machine.halted);
  EXPECT_EQ(w.machine.of(TraceKind::Contained).size(), 2u);
  EXPECT_EQ(w.status(Channel::User).return_status, 0u);
}

TEST(Containment, FaultsWithoutEndStop) {
  constexpr std::size_t kImages = 2;
  World w(1, 1);
  Script s(*w.cpu[0]);
  w.boot();
  s.steps.assign(10, Script::fault(14, kDriver + 0x1010, 0x666));
  w.mmi();
  EXPECT_EQ(w.machine.halted, hal::HaltReason::UserFault);
  EXPECT_EQ(w.machine.of(TraceKind::Contained).size(), 1 + kImages);
}

TEST(Containment, RefusedSystemCall) {
  World w(1, 1);
  Script s(*w.cpu[0]);
  w.boot();
  s.steps = {Script::call(0x12345), [&](hal::UserContext& c) {
               auto const record = w.get<abi::UserFaultRecord>(c.rdx + abi::kUserFaultOffset);
               EXPECT_EQ(record.vector, supervisor::kVectorRefusedSyscall);
               EXPECT_EQ(record.error_code, 0x12345u);
               EXPECT_EQ(record.cr2, static_cast<u64>(Status::InvalidParameter));
               auto const telemetry = contained_record(w, c.rdx);
               EXPECT_EQ(telemetry.exception_type, supervisor::kVectorRefusedSyscall);
               EXPECT_EQ(telemetry.context.exception_data, 0x12345u);
               EXPECT_EQ(telemetry.context.rax, 0x12345u);
               EXPECT_EQ(telemetry.context.cr2, static_cast<u64>(Status::InvalidParameter));
               return Script::ret(c, 0);
             }};
  w.mmi();
  EXPECT_FALSE(w.machine.halted);
}

}  // namespace
}  // namespace mm::test
