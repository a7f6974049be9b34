// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/communication/comm_buffer.hpp"

#include <gtest/gtest.h>

#include "tests/unit/core_communication/fake_world.hpp"

namespace mm::communication {
namespace {

constexpr Guid kOther = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0001"_guid;

CommunicateBuffer buffer(FakeWorld& world, u64 size = kPageSize) {
  return CommunicateBuffer::make(world, kBuffer, size, 1, kMailbox).value();
}
template <typename T>
CommBufferError error_of(CommBufferResult<T> const& result) {
  EXPECT_FALSE(result.has_value());
  return result.has_value() ? CommBufferError{} : result.error();
}

TEST(CommBuffer, IsRefusedInTheOrderOfTheChecks) {
  FakeWorld world;
  auto const made = [&](u64 address, u64 size, u64 mailbox = 0) {
    return error_of(CommunicateBuffer::make(world, address, size, 1, mailbox));
  };
  EXPECT_EQ(made(0, 23), CommBufferError::TooSmallForHeader);
  EXPECT_EQ(made(0, 24), CommBufferError::NoBuffer);
  EXPECT_EQ(made(0x1008, 24), CommBufferError::NotAligned);
  EXPECT_EQ(made(kBuffer, 24, kMailbox + 4), CommBufferError::NotAligned);
  EXPECT_EQ(made(~u64{0xFFF}, 0x1001), CommBufferError::AddressValidationFailed);
  EXPECT_EQ(made(kBuffer, kPageSize, ~u64{7}), CommBufferError::AddressValidationFailed);
  EXPECT_EQ(made(kBuffer, kPageSize, kBuffer + 8), CommBufferError::AddressValidationFailed);
  EXPECT_EQ(error_of(CommunicateBuffer::from_firmware_region(world, ~u64{0}, 4, 1)),
            CommBufferError::AddressValidationFailed);
  EXPECT_TRUE(world.memory.empty()) << "a refused buffer is not written to";
}

TEST(CommBuffer, IsZeroedWhenItIsTaken) {
  FakeWorld world;
  world.put(kBuffer + 4088, ~u64{0});
  world.put(kBuffer + 4096, ~u64{0});
  buffer(world);
  EXPECT_EQ(world.get<u64>(kBuffer + 4088), 0u);
  EXPECT_EQ(world.get<u64>(kBuffer + 4096), ~u64{0}) << "and nothing behind it";
}

TEST(CommBuffer, WritesHeaderAndMessage) {
  FakeWorld world;
  auto b = buffer(world);
  ASSERT_TRUE(b.set_message_info(world, kEcho).has_value());
  EXPECT_EQ(world.get<abi::CommunicateHeader>(kBuffer).message_length, 0u);
  ASSERT_TRUE(b.set_message(world, bytes_of("hello")).has_value());
  EXPECT_EQ(world.get<abi::CommunicateHeader>(kBuffer).header_guid, kEcho);
  EXPECT_EQ(world.get<abi::CommunicateHeader>(kBuffer).message_length, 5u);
  EXPECT_EQ(world.text(kBuffer + 24, 5), "hello");
  std::array<std::byte, 3> part{};
  ASSERT_TRUE(b.get_message(world, 1, part).has_value());
  EXPECT_EQ(part[0], std::byte{'e'});
}

TEST(CommBuffer, WritesAHeaderOfTheThirdFormat) {
  FakeWorld world;
  auto b = buffer(world);
  ASSERT_TRUE(b.set_message_info(world, kEcho, MessageFormat::V3).has_value());
  ASSERT_TRUE(b.set_message(world, bytes_of("hello")).has_value());
  auto const header = world.get<abi::CommunicateHeaderV3>(kBuffer);
  EXPECT_EQ(header.header_guid, guids::gEfiMmCommunicateHeaderV3Guid);
  EXPECT_EQ(header.buffer_size, 61u);
  EXPECT_EQ(header.message_guid, kEcho);
  EXPECT_EQ(header.message_size, 5u);
  EXPECT_EQ(world.text(kBuffer + 56, 5), "hello");
  world.put(kBuffer + 16, u64{62});
  EXPECT_EQ(error_of(b.verify(world)), CommBufferError::TooSmallForMessage);
  world.put(kBuffer, kEcho);
  EXPECT_EQ(error_of(b.verify(world)), CommBufferError::InvalidRecipient);
}

TEST(CommBuffer, RefusesWhatDoesNotFit) {
  FakeWorld world;
  auto small = buffer(world, 24);
  EXPECT_EQ(small.capacity(MessageFormat::V1), 0u);
  EXPECT_EQ(small.capacity(MessageFormat::V3), 0u);
  EXPECT_EQ(error_of(small.set_message_info(world, kEcho, MessageFormat::V3)), CommBufferError::TooSmallForHeader);
  ASSERT_TRUE(small.set_message_info(world, kEcho).has_value());
  EXPECT_TRUE(small.set_message(world, {}).has_value()) << "a message of no bytes is one";
  EXPECT_EQ(error_of(small.set_message(world, bytes_of("x"))), CommBufferError::TooSmallForMessage);

  auto exact = buffer(world, 29);
  EXPECT_EQ(error_of(exact.set_message(world, bytes_of("hello"))), CommBufferError::InvalidRecipient);
  ASSERT_TRUE(exact.set_message_info(world, kEcho).has_value());
  EXPECT_TRUE(exact.set_message(world, bytes_of("hello")).has_value());
  EXPECT_EQ(error_of(exact.set_message(world, bytes_of("hello!"))), CommBufferError::TooSmallForMessage);
  EXPECT_EQ(error_of(exact.set_message(world, bytes_of("x"), 6)), CommBufferError::TooSmallForMessage);
  std::array<std::byte, 6> six{};
  EXPECT_EQ(error_of(exact.get_message(world, 0, six)), CommBufferError::TooSmallForMessage);
  EXPECT_EQ(error_of(exact.get_message(world, ~u64{0}, six)), CommBufferError::TooSmallForMessage);
}

TEST(CommBuffer, FindsWhatOthersChangedInTheHeader) {
  FakeWorld world;
  auto b = buffer(world);
  EXPECT_TRUE(b.verify(world).has_value());
  world.put(kBuffer, kOther);
  EXPECT_EQ(error_of(b.verify(world)), CommBufferError::InvalidRecipient) << "none is recorded, one is in memory";
  ASSERT_TRUE(b.set_message_info(world, kEcho).has_value());
  ASSERT_TRUE(b.set_message(world, bytes_of("hello")).has_value());
  world.put(kBuffer + 16, u64{4});
  std::array<std::byte, 1> one{};
  EXPECT_EQ(error_of(b.get_message(world, 0, one)), CommBufferError::TooSmallForMessage);
  world.put(kBuffer + 16, u64{5});
  world.put(kBuffer, kOther);
  EXPECT_EQ(error_of(b.get_message(world, 0, one)), CommBufferError::InvalidRecipient);
}

TEST(CommBuffer, FindsMemoryThatDoesNotTakeTheHeader) {
  FakeWorld world;
  auto b = buffer(world);
  world.accepts = [](u64) { return false; };
  EXPECT_EQ(error_of(b.set_message_info(world, kEcho)), CommBufferError::InvalidRecipient);
}

TEST(CommBuffer, TheRecipientCanBeChanged) {
  FakeWorld world;
  auto b = buffer(world);
  ASSERT_TRUE(b.set_message_info(world, kEcho).has_value());
  ASSERT_TRUE(b.set_message(world, bytes_of("hello")).has_value());
  ASSERT_TRUE(b.set_message_info(world, kOther).has_value());
  EXPECT_EQ(world.get<abi::CommunicateHeader>(kBuffer).header_guid, kOther);
  EXPECT_EQ(world.get<abi::CommunicateHeader>(kBuffer).message_length, 5u);
}

TEST(CommBuffer, ResetLeavesNothingOfMessageOrAnswer) {
  FakeWorld world;
  auto b = buffer(world);
  ASSERT_TRUE(b.set_message_info(world, kEcho).has_value());
  ASSERT_TRUE(b.set_message(world, bytes_of("hello")).has_value());
  world.put(kBuffer + 1000, ~u64{0});
  b.note_used(1008);
  b.reset(world);
  for (auto const& [at, value] : world.memory) {
    ASSERT_EQ(value, std::byte{0}) << at;
  }
  EXPECT_EQ(b.message_length(), 0u);
  EXPECT_TRUE(b.verify(world).has_value());
}

TEST(CommBuffer, TheMailboxIsTheBuffersOwn) {
  FakeWorld world;
  auto with = buffer(world);
  ASSERT_TRUE(with.write_mailbox(world, {1, {}, 7, 8}).has_value());
  EXPECT_EQ(world.get<abi::CommBufferStatus>(kMailbox).return_status, 7u);
  EXPECT_EQ(with.read_mailbox(world)->return_buffer_size, 8u);
  auto without = CommunicateBuffer::make(world, kBuffer, kPageSize, 2).value();
  EXPECT_EQ(error_of(without.read_mailbox(world)), CommBufferError::NoBuffer);
  EXPECT_EQ(error_of(without.write_mailbox(world, {})), CommBufferError::NoBuffer);
}

}  // namespace
}  // namespace mm::communication
