// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/communication/communicator.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/core_communication/fake_world.hpp"

namespace mm::communication {
namespace {

constexpr u64 kNewBuffer = 0x30'0000;
constexpr u64 kNewMailbox = 0x40'0000;

/// MM in a function. The default echoes.
struct TestExecutor {
  FakeWorld& world;
  std::function<Expected<void>(CommunicateBuffer&)> mm = [this](CommunicateBuffer& b) {
    ++calls;
    answer(world, 0, b.message_length(), raw(b.mailbox()));
    return Expected<void>{};
  };
  u32 calls = 0;
  Expected<void> execute_mm(CommunicateBuffer& buffer) noexcept { return mm(buffer); }
};
static_assert(MmExecutor<TestExecutor>);

struct Lines {
  std::vector<std::string>* to;
  void log(LogTarget target, LogLevel, std::string_view text, u64) noexcept {
    to->push_back(std::string{log_name(target)} + ": " + std::string{text});
  }
};
using Communicator = MmCommunicator<FakeWorld, TestExecutor, Lines>;

class CommunicatorTest : public testing::Test {
 protected:
  CommunicationConfig config(u64 size = kPageSize, u64 mailbox = kMailbox) {
    CommunicationConfig made;
    made.comm_buffers[0] = CommunicateBuffer::make(world_, kBuffer, size, 1, mailbox).value();
    made.enable_comm_buffer_updates = true;
    made.updatable_buffer_id = 1;
    return made;
  }
  Communicator communicator(CommunicationConfig const& config) { return {world_, config, &executor_, {&lines_}}; }
  template <typename T>
  static CommunicateError error_of(std::expected<T, CommunicateError> const& result) {
    EXPECT_FALSE(result.has_value());
    return result.has_value() ? CommunicateError{} : result.error();
  }
  Message echo(std::string_view text) { return {kEcho, bytes_of(text)}; }

  FakeWorld world_;
  TestExecutor executor_{world_};
  std::vector<std::string> lines_;
  std::array<std::byte, 64> reply_{};
};

TEST_F(CommunicatorTest, Echo) {
  auto c = communicator(config());
  EXPECT_EQ(c.communicate(1, echo("hello"), reply_), 5u);
  EXPECT_EQ(std::memcmp(reply_.data(), "hello", 5), 0);
  EXPECT_EQ(c.answer().return_buffer_size, 29u);
  EXPECT_EQ(world_.get<abi::CommBufferStatus>(kMailbox).is_comm_buffer_valid, 0);
}

TEST_F(CommunicatorTest, TheMailboxIsValidAndUntouchedDuringTheMmi) {
  auto c = communicator(config());
  executor_.mm = [this](CommunicateBuffer& b) {
    auto const mailbox = world_.get<abi::CommBufferStatus>(kMailbox);
    EXPECT_EQ(mailbox.is_comm_buffer_valid, 1);
    EXPECT_EQ(mailbox.return_status, static_cast<u64>(kUntouched));
    answer(world_, 0, b.message_length());
    return Expected<void>{};
  };
  EXPECT_TRUE(c.communicate(1, echo("hello"), reply_).has_value());
}

TEST_F(CommunicatorTest, AHandlerMayTransformAndChangeTheLength) {
  auto c = communicator(config());
  executor_.mm = [this](CommunicateBuffer&) {
    world_.write(PhysAddr{kBuffer + 24}, bytes_of("a longer answer"));
    answer(world_, 0, 15);
    return Expected<void>{};
  };
  EXPECT_EQ(c.communicate(1, echo("hello"), reply_), 15u);
  EXPECT_EQ(std::memcmp(reply_.data(), "a longer answer", 15), 0);
}

TEST_F(CommunicatorTest, WithoutAMailboxTheAnswerIsAsLongAsTheMessage) {
  auto c = communicator(config(kPageSize, 0));
  executor_.mm = [](CommunicateBuffer&) { return Expected<void>{}; };
  EXPECT_EQ(c.communicate(1, echo("hello"), reply_), 5u);
  EXPECT_NE(std::ranges::find(lines_, "mm_comm: no mailbox, buffer"), lines_.end());
}

TEST_F(CommunicatorTest, ErrorsBeforeTheMmiInTheirOrder) {
  Communicator none{world_, CommunicationConfig{}, nullptr, {&lines_}};
  EXPECT_EQ(error_of(none.communicate(7, {kEcho, {}}, reply_)), CommunicateError::NoCommBuffer);
  Communicator deaf{world_, config(), nullptr, {&lines_}};
  EXPECT_EQ(error_of(deaf.communicate(7, {kEcho, {}}, reply_)), CommunicateError::InvalidDataBuffer);
  EXPECT_EQ(error_of(deaf.communicate(7, echo("x"), reply_)), CommunicateError::SwMmiServiceNotAvailable);
  auto c = communicator(config());
  EXPECT_EQ(error_of(c.communicate(7, echo("x"), reply_)), CommunicateError::CommBufferNotFound);
  EXPECT_EQ(executor_.calls, 0u);
}

TEST_F(CommunicatorTest, TooLargeByOne) {
  auto c = communicator(config(24 + 5));
  EXPECT_EQ(c.communicate(1, echo("hello"), reply_), 5u);
  EXPECT_EQ(error_of(c.communicate(1, echo("hello!"), reply_)), CommunicateError::CommBufferTooSmall);
  EXPECT_EQ(error_of(c.communicate(1, {kEcho, bytes_of("x"), 6}, reply_)), CommunicateError::CommBufferTooSmall);
  EXPECT_EQ(error_of(c.communicate(1, {kEcho, bytes_of("x"), 1, MessageFormat::V3}, reply_)),
            CommunicateError::CommBufferTooSmall);
  EXPECT_EQ(executor_.calls, 1u);
}

TEST_F(CommunicatorTest, MemoryThatDoesNotKeepTheHeader) {
  auto c = communicator(config());
  world_.accepts = [](u64 at) { return at != kBuffer; };
  EXPECT_EQ(error_of(c.communicate(1, echo("x"), reply_)), CommunicateError::CommBufferInitError);
  EXPECT_EQ(executor_.calls, 0u);
}

TEST_F(CommunicatorTest, AMessageOnItsWayIsNotOverwritten) {
  auto c = communicator(config());
  world_.put(kMailbox, abi::CommBufferStatus{1, {}, 0, 0});
  world_.put(kBuffer, u64{42});
  EXPECT_EQ(error_of(c.communicate(1, echo("x"), reply_)), CommunicateError::CommBufferBusy);
  EXPECT_EQ(world_.get<u64>(kBuffer), 42u);
}

TEST_F(CommunicatorTest, TheExecutorFails) {
  auto c = communicator(config());
  executor_.mm = [](CommunicateBuffer&) -> Expected<void> { return std::unexpected(Status::DeviceError); };
  EXPECT_EQ(error_of(c.communicate(1, echo("x"), reply_)), CommunicateError::SwMmiFailed);
}

TEST_F(CommunicatorTest, AnErrorOfMmFailsTheCall) {
  auto c = communicator(config());
  executor_.mm = [this](CommunicateBuffer&) {
    answer(world_, static_cast<u64>(Status::NotFound), 5);
    return Expected<void>{};
  };
  EXPECT_EQ(error_of(c.communicate(1, echo("hello"), reply_)), CommunicateError::MmFailed);
  EXPECT_EQ(efi_status(CommunicateError::MmFailed, Status::NotFound), Status::NotFound);
  EXPECT_EQ(efi_status(CommunicateError::MmFailed, static_cast<Status>(14)), Status::NotFound);
}

TEST_F(CommunicatorTest, AnAnswerThatCannotBe) {
  auto c = communicator(config());
  for (u64 const size : {u64{0}, u64{23}, kPageSize + 1, ~u64{0}}) {
    executor_.mm = [&](CommunicateBuffer&) {
      world_.put(kMailbox, abi::CommBufferStatus{0, {}, 0, size});
      return Expected<void>{};
    };
    EXPECT_EQ(error_of(c.communicate(1, echo("x"), reply_)), CommunicateError::InvalidResponse) << size;
  }
}

TEST_F(CommunicatorTest, ARewrittenHeaderIsNotAnAnswer) {
  auto c = communicator(config());
  executor_.mm = [this](CommunicateBuffer& b) {
    world_.put(kBuffer + 16, u64{99});
    answer(world_, 0, b.message_length());
    return Expected<void>{};
  };
  EXPECT_EQ(error_of(c.communicate(1, echo("x"), reply_)), CommunicateError::InvalidResponse);
}

TEST_F(CommunicatorTest, AnAnswerLongerThanTheCallersSpan) {
  auto c = communicator(config());
  EXPECT_EQ(error_of(c.communicate(1, echo("hello"), std::span{reply_}.first(4))), CommunicateError::ReplyTooLong);
  EXPECT_EQ(reply_[0], std::byte{0});
}

TEST_F(CommunicatorTest, TheNextMessageDoesNotShowTheLast) {
  auto c = communicator(config());
  ASSERT_TRUE(c.communicate(1, echo("a long secret"), reply_).has_value());
  ASSERT_TRUE(c.communicate(1, {kEcho, bytes_of("x"), 13}, reply_).has_value());
  EXPECT_EQ(world_.text(kBuffer + 24, 13), std::string("x") + std::string(12, '\0'));
}

TEST_F(CommunicatorTest, SeveralBuffersKeepTheirMessages) {
  auto two = config();
  two.comm_buffers[1] = CommunicateBuffer::make(world_, kNewBuffer, kPageSize, 2, kNewMailbox).value();
  auto c = communicator(two);
  ASSERT_TRUE(c.communicate(1, echo("first"), reply_).has_value());
  ASSERT_TRUE(c.communicate(2, echo("second"), reply_).has_value());
  EXPECT_EQ(world_.text(kBuffer + 24, 5), "first");
  EXPECT_EQ(world_.text(kNewBuffer + 24, 6), "second");
}

TEST_F(CommunicatorTest, AThousandMixedCalls) {
  auto c = communicator(config(24 + 32));
  u32 good = 0;
  for (u32 i = 0; i < 1000; ++i) {
    std::string const text(i % 40, static_cast<char>('a' + i % 26));
    auto const done = c.communicate(i % 7 == 0 ? 9 : 1, echo(text), reply_);
    bool const fits = !text.empty() && text.size() <= 32 && i % 7 != 0;
    ASSERT_EQ(done.has_value(), fits) << i;
    good += fits ? 1 : 0;
    ASSERT_TRUE(!fits || std::memcmp(reply_.data(), text.data(), text.size()) == 0) << i;
  }
  EXPECT_EQ(executor_.calls, good);
}

// --- updatable buffer ---------------------------------------------------------------------------------------------

TEST_F(CommunicatorTest, AnUpdateTakesEffectAtTheNextCall) {
  auto c = communicator(config());
  EXPECT_FALSE(c.apply_update());
  ASSERT_TRUE(c.offer_update({1, 0x50'0000, 1, 0x60'0000}).has_value());
  ASSERT_TRUE(c.offer_update({1, kNewBuffer, 2, kNewMailbox}).has_value()) << "the newer replaces the older";
  EXPECT_EQ(raw(c.find(1)->address()), kBuffer);
  EXPECT_EQ(c.communicate(1, echo("moved"), reply_), 5u);
  EXPECT_EQ(raw(c.find(1)->address()), kNewBuffer);
  EXPECT_EQ(c.find(1)->size(), 2 * kPageSize);
  EXPECT_EQ(world_.text(kNewBuffer + 24, 5), "moved");
  EXPECT_EQ(world_.get<u64>(kBuffer), 0u) << "the old buffer is not used any more";
}

TEST_F(CommunicatorTest, AnUpdateMayBringTheFirstBuffer) {
  CommunicationConfig empty;
  empty.enable_comm_buffer_updates = true;
  empty.updatable_buffer_id = 1;
  auto c = communicator(empty);
  ASSERT_TRUE(c.offer_update({1, kNewBuffer, 1, kNewMailbox}).has_value());
  EXPECT_EQ(c.communicate(1, echo("hello"), reply_), 5u);
}

TEST_F(CommunicatorTest, AnUpdateWithoutASlotIsDropped) {
  CommunicationConfig full;
  for (u8 i = 0; i < kMaxCommBuffers; ++i) {
    full.comm_buffers[i] = CommunicateBuffer::make(world_, kBuffer + i * kPageSize, kPageSize, i).value();
  }
  full.enable_comm_buffer_updates = true;
  full.updatable_buffer_id = 100;
  auto c = communicator(full);
  ASSERT_TRUE(c.offer_update({1, kNewBuffer, 1, kNewMailbox}).has_value());
  EXPECT_FALSE(c.apply_update());
}

TEST_F(CommunicatorTest, BadUpdatesAreRefused) {
  auto c = communicator(config());
  auto const refused = [&](CommBufferUpdate const& update) { return c.offer_update(update).error(); };
  EXPECT_EQ(refused({2, kNewBuffer, 1, kNewMailbox}), Status::IncompatibleVersion);
  EXPECT_EQ(refused({1, 0, 1, kNewMailbox}), Status::InvalidParameter);
  EXPECT_EQ(refused({1, kNewBuffer + 8, 1, kNewMailbox}), Status::InvalidParameter);
  EXPECT_EQ(refused({1, kNewBuffer, 0, kNewMailbox}), Status::InvalidParameter);
  EXPECT_EQ(refused({1, kNewBuffer, 1, 0}), Status::InvalidParameter);
  EXPECT_EQ(refused({1, kNewBuffer, 1, kNewMailbox + 4}), Status::InvalidParameter);
  EXPECT_EQ(refused({1, kNewBuffer, 1, ~u64{7}}), Status::InvalidParameter);
  EXPECT_EQ(refused({1, kNewBuffer, 1, kNewBuffer + 8}), Status::InvalidParameter);
  EXPECT_EQ(refused({1, kNewBuffer, ~u64{0}, kNewMailbox}), Status::InvalidParameter);
  EXPECT_EQ(refused({1, ~u64{0xFFF}, 2, kNewMailbox}), Status::InvalidParameter);
  auto off = config();
  off.enable_comm_buffer_updates = false;
  auto fixed = communicator(off);
  EXPECT_EQ(fixed.offer_update({1, kNewBuffer, 1, kNewMailbox}).error(), Status::Unsupported);
}

TEST(EfiStatus, EveryErrorHasOne) {
  std::pair<CommunicateError, Status> const rows[] = {{CommunicateError::NoCommBuffer, Status::NotFound},
                                                      {CommunicateError::InvalidDataBuffer, Status::InvalidParameter},
                                                      {CommunicateError::SwMmiServiceNotAvailable, Status::NotReady},
                                                      {CommunicateError::CallInProgress, Status::NotReady},
                                                      {CommunicateError::MmDidNotAnswer, Status::NotStarted},
                                                      {CommunicateError::CommBufferNotFound, Status::NotFound},
                                                      {CommunicateError::CommBufferTooSmall, Status::BadBufferSize},
                                                      {CommunicateError::CommBufferInitError, Status::DeviceError},
                                                      {CommunicateError::CommBufferBusy, Status::InvalidParameter},
                                                      {CommunicateError::SwMmiFailed, Status::Unsupported},
                                                      {CommunicateError::InvalidResponse, Status::CompromisedData},
                                                      {CommunicateError::ReplyTooLong, Status::BufferTooSmall}};
  for (auto const& [error, status] : rows) {
    EXPECT_EQ(efi_status(error, Status::Success), status);
  }
}

}  // namespace
}  // namespace mm::communication
