// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/supervisor/channels.hpp"

#include <gtest/gtest.h>

#include "tests/unit/core_supervisor/part.hpp"

namespace mm::test {
namespace {

using abi::Channel;
using supervisor::Check;

constexpr u64 kExternal = 0x20'0000;
constexpr u64 kInternal = 0x30'0000;
constexpr u64 kMailbox = 0x40'0000;
constexpr u64 kBytes = 2 * kPageSize;
constexpr Guid kName = "11111111-2222-3333-4444-555555555555"_guid;

struct ChannelsTest : ::testing::Test, Part {
  ChannelsTest() {
    for (Channel const which : {Channel::Supervisor, Channel::User}) {
      u64 const at = static_cast<u64>(which) * 0x1'0000;
      channels.adopt(which, {kExternal + at, kInternal + at, kBytes, kMailbox + at, 0});
    }
  }
  static constexpr u64 kUser = 0x1'0000;  ///< from what is the supervisor's to what is the user's
  void message(u64 bytes) { put(kExternal + kUser, abi::CommunicateHeader{kName, bytes}); }
  void message_v3(u64 whole, u64 bytes) {
    put(kExternal + kUser, abi::CommunicateHeaderV3{guids::gEfiMmCommunicateHeaderV3Guid, whole, 0, kName, bytes});
  }
  Status refusal(Channel which = Channel::User) {
    auto const done = channels.copy_in(here, which);
    return done ? Status::Success : done.error();
  }
  supervisor::Channels<fake::Machine> channels;
};

TEST_F(ChannelsTest, CopiesHeaderAndMessageOnce) {
  message(16);
  put(kExternal + kUser + 24, std::array<u64, 2>{5, 6});
  auto const m = channels.copy_in(here, Channel::User);
  ASSERT_TRUE(m);
  EXPECT_EQ(m->guid, kName);
  EXPECT_EQ(m->header_bytes, 24u);
  EXPECT_EQ(m->message_bytes, 16u);
  EXPECT_EQ(m->version, 1u);
  EXPECT_EQ(get<u64>(kInternal + kUser + 32), 6u);
  ASSERT_EQ(machine.reads.size(), 2u);
  EXPECT_EQ(machine.reads[0], (Range{kExternal + kUser, 24}));
  EXPECT_EQ(machine.reads[1], (Range{kExternal + kUser + 24, 16}));
  EXPECT_EQ(told<hal::event::CopyIn>().at(0).bytes, 40u);
  EXPECT_EQ(told<hal::event::RequestDecoded>().at(0).guid, kName);
  EXPECT_EQ(cpu.user_access, 0);
}

TEST_F(ChannelsTest, V3HasItsOwnHeader) {
  message_v3(sizeof(abi::CommunicateHeaderV3) + 8, 8);
  auto const m = channels.copy_in(here, Channel::User);
  ASSERT_TRUE(m);
  EXPECT_EQ(m->header_bytes, 56u);
  EXPECT_EQ(m->message_bytes, 8u);
  EXPECT_EQ(m->version, 3u);
  EXPECT_EQ(get<abi::CommunicateHeaderV3>(kInternal + kUser).message_size, 8u);
}

TEST_F(ChannelsTest, WhatDoesNotFitIsNotCopied) {
  message(kBytes - 23);
  EXPECT_EQ(refusal(), Status::BadBufferSize);
  message(~u64{0});
  EXPECT_EQ(refusal(), Status::BadBufferSize);
  message_v3(kBytes + 1, 8);
  EXPECT_EQ(refusal(), Status::BadBufferSize);
  message_v3(55, 0);
  EXPECT_EQ(refusal(), Status::BadBufferSize);
  message_v3(64, 9);
  EXPECT_EQ(refusal(), Status::BadBufferSize);
  EXPECT_TRUE(machine.writes.empty());
  message(kBytes - 24);
  EXPECT_EQ(refusal(), Status::Success);
}

TEST_F(ChannelsTest, V3IsNotOfTheSupervisorChannel) {
  put(kExternal, abi::CommunicateHeaderV3{guids::gEfiMmCommunicateHeaderV3Guid, 56, 0, kName, 0});
  EXPECT_EQ(refusal(Channel::Supervisor), Status::Unsupported);
  EXPECT_EQ(machine.reads.size(), 1u);
}

TEST_F(ChannelsTest, WhatTheLastMessageLeftIsZeroed) {
  message(64);
  put(kExternal + kUser + 24 + 56, u64{9});
  ASSERT_TRUE(channels.copy_in(here, Channel::User));
  EXPECT_EQ(get<u64>(kInternal + kUser + 24 + 56), 9u);
  message(8);
  ASSERT_TRUE(channels.copy_in(here, Channel::User));
  EXPECT_EQ(get<u64>(kInternal + kUser + 24 + 56), 0u);
}

TEST_F(ChannelsTest, WhereRing3MayHaveWrittenIsZeroed) {
  message(8);
  ASSERT_TRUE(channels.copy_in(here, Channel::User));
  channels.expect_user_writes(0);
  put(kInternal + kUser + kBytes - 8, u64{9});
  ASSERT_TRUE(channels.copy_in(here, Channel::User));
  EXPECT_EQ(get<u64>(kInternal + kUser + kBytes - 8), 0u) << "no reply: anywhere";
  channels.expect_user_writes(40);
  put(kInternal + kUser + kPageSize - 8, u64{9});
  put(kInternal + kUser + kPageSize, u64{9});
  ASSERT_TRUE(channels.copy_in(here, Channel::User));
  EXPECT_EQ(get<u64>(kInternal + kUser + kPageSize - 8), 0u) << "to the end of the page of the reply";
  EXPECT_EQ(get<u64>(kInternal + kUser + kPageSize), 9u) << "and not beyond";
  channels.expect_user_writes(kBytes + 1);
  ASSERT_TRUE(channels.copy_in(here, Channel::User));
  EXPECT_EQ(get<u64>(kInternal + kUser + kPageSize), 0u) << "a reply that does not fit is none";
}

TEST_F(ChannelsTest, TheReplyIsOneCopyWithAHash) {
  put(kInternal + kUser, u64{0x0102'0304});
  channels.copy_out(here, Channel::User, 8);
  EXPECT_EQ(get<u64>(kExternal + kUser), 0x0102'0304u);
  auto const told = this->told<hal::event::CopyOut>();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].bytes, 8u);
  u64 hash = supervisor::kFnvBasis;
  for (u32 const byte : {4u, 3u, 2u, 1u, 0u, 0u, 0u, 0u}) {
    hash = supervisor::fnv1a(static_cast<std::byte>(byte), hash);
  }
  EXPECT_EQ(told[0].hash, hash);
}

TEST_F(ChannelsTest, AMailboxIsFetchedOnceAndWrittenBack) {
  put(kMailbox, abi::CommBufferStatus{1, {}, 7, 8});
  auto const status = channels.mailbox(here, Channel::Supervisor);
  put(kMailbox, abi::CommBufferStatus{});
  EXPECT_EQ(status->is_comm_buffer_valid, 1);
  EXPECT_EQ(status->return_status, 7u);
  channels.refuse(here, Channel::Supervisor, Status::AccessDenied, *status);
  auto const back = get<abi::CommBufferStatus>(kMailbox);
  EXPECT_EQ(back.is_comm_buffer_valid, 0);
  EXPECT_EQ(back.return_status, static_cast<u64>(Status::AccessDenied));
  EXPECT_EQ(back.return_buffer_size, 0u);
  EXPECT_EQ(told<hal::event::RequestRefused>().at(0).status, Status::AccessDenied);
  EXPECT_EQ(told<hal::event::MmiExit>().at(0).channel, Channel::Supervisor);
}

TEST_F(ChannelsTest, MovesToOtherPages) {
  supervisor::CommPages const old = channels.pages();
  EXPECT_EQ(old[0], (Range{kMailbox, kPageSize}));
  EXPECT_EQ(old[3], (Range{kExternal + kUser, kBytes}));
  supervisor::CommPages fresh = old;
  for (Range& one : fresh) {
    one.base += 0x100'0000;
  }
  channels.move(fresh);
  EXPECT_EQ(channels.pages(), fresh);
  EXPECT_EQ(channels.copy_of(Channel::User), (Range{kInternal + kUser, kBytes}));
}

TEST_F(ChannelsTest, EachCheckCanBeRemoved) {
  message(kBytes - 8);
  machine.defects = supervisor::bit_of(Check::MessageSize);
  EXPECT_EQ(refusal(), Status::Success);
  machine.defects = supervisor::bit_of(Check::HeaderOnce);
  machine.reads.clear();
  message(8);
  EXPECT_EQ(refusal(), Status::Success);
  EXPECT_EQ(machine.reads.size(), 3u) << "the header is fetched twice";
}

}  // namespace
}  // namespace mm::test
