// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <latch>
#include <thread>

#include "tests/unit/core_communication/fake_world.hpp"

/// Calls that meet another call, and MMIs that nobody serves. What must hold in all of them: a call that succeeds has
/// its own answer, and a message whose sender was told that it failed is never served.
namespace mm::communication {
namespace {

constexpr u64 kOtherBuffer = 0x30'0000, kOtherMailbox = 0x40'0000;
constexpr u8 kSupervisorId = 0, kUserId = 1;
constexpr Guid kInner = "87654321-1234-5678-1234-567890ABCDEF"_guid;

/// FakeWorld with a hook: what interrupts the normal world before each of its accesses.
struct InterruptedWorld : FakeWorld {
  std::function<void()> interrupt;
  u32 accesses = 0;

  void tick() noexcept {
    ++accesses;
    if (interrupt) {
      interrupt();
    }
  }
  void read(PhysAddr at, std::span<std::byte> out) noexcept {
    tick();
    FakeWorld::read(at, out);
  }
  void write(PhysAddr at, std::span<std::byte const> in) noexcept {
    tick();
    FakeWorld::write(at, in);
  }
  u32 port_in(u16 port, abi::IoWidth width) noexcept {
    tick();
    return FakeWorld::port_in(port, width);
  }
  void port_out(u16 port, abi::IoWidth width, u32 value) noexcept {
    tick();
    FakeWorld::port_out(port, width, value);
  }
};
static_assert(NormalWorld<InterruptedWorld>);

/// MM that turns letters of whichever message is valid into capitals: the user's first, as the supervisor does.
struct CapitalMm {
  std::vector<std::string> served;
  u32 lose = 0;  ///< so many MMIs do not reach it

  void serve(FakeWorld& w) {
    if (lose != 0) {
      --lose;
      return;
    }
    (void)(take(w, kOtherBuffer, kOtherMailbox) || take(w, kBuffer, kMailbox));
  }
  bool take(FakeWorld& w, u64 buffer, u64 mailbox) {
    if (w.get<abi::CommBufferStatus>(mailbox).is_comm_buffer_valid == 0) {
      return false;
    }
    auto const v1 = w.get<abi::CommunicateHeader>(buffer);
    bool const v3 = v1.header_guid == guids::gEfiMmCommunicateHeaderV3Guid;
    u64 const header = v3 ? sizeof(abi::CommunicateHeaderV3) : sizeof(abi::CommunicateHeader);
    u64 const length = v3 ? w.get<abi::CommunicateHeaderV3>(buffer).message_size : v1.message_length;
    std::string text = w.text(buffer + header, static_cast<std::size_t>(length));
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    served.push_back(text);
    w.FakeWorld::write(PhysAddr{buffer + header}, bytes_of(text));
    w.put(mailbox, abi::CommBufferStatus{0, {}, 0, header + length});
    return true;
  }
};

class TurnTest : public testing::Test {
 protected:
  using Trigger = SwMmiTrigger<InterruptedWorld>;
  using Executor = RealMmExecutor<Trigger>;
  using Communicator = MmCommunicator<InterruptedWorld, Executor>;

  TurnTest() {
    CommunicationConfig config;
    config.enable_comm_buffer_updates = true;
    config.updatable_buffer_id = kUserId;
    config.comm_buffers[0] = CommunicateBuffer::make(world_, kBuffer, kPageSize, kSupervisorId, kMailbox).value();
    config.comm_buffers[1] = CommunicateBuffer::make(world_, kOtherBuffer, kPageSize, kUserId, kOtherMailbox).value();
    world_.mm = [this](FakeWorld& w) { mm_.serve(w); };
    EXPECT_TRUE(trigger_.start().has_value());
    communicator_.emplace(world_, config, &executor_);
  }
  /// Sends `text`; what came, or the name of nothing when it was refused.
  std::expected<std::string, CommunicateError> say(std::string const& text, u8 id = kUserId, Guid const& to = kEcho,
                                                   MessageFormat format = MessageFormat::V1) {
    std::array<std::byte, 128> reply{};
    auto const done = communicator_->communicate(id, {to, bytes_of(text), 0, format}, reply);
    if (!done.has_value()) {
      return std::unexpected(done.error());
    }
    return std::string{reinterpret_cast<char const*>(reply.data()), *done};
  }
  void interrupt_at(u32 access, std::function<void()> what) {
    world_.accesses = 0;
    world_.interrupt = [this, access, what = std::move(what)] {
      if (world_.accesses == access) {
        auto const once = std::exchange(world_.interrupt, nullptr);
        what();
      }
    };
  }
  u8 valid(u64 mailbox) { return world_.get<abi::CommBufferStatus>(mailbox).is_comm_buffer_valid; }

  InterruptedWorld world_;
  CapitalMm mm_;
  Trigger trigger_{world_, AcpiBase{}, MmiPort::smi(0xB2), MmiPort::smi(0xB3)};
  Executor executor_{trigger_};
  std::optional<Communicator> communicator_;
};

TEST_F(TurnTest, AnInterruptAnywhereInACallIsRefusedAndLeavesTheCallItsAnswer) {
  u32 tried = 0;
  for (u8 const outer : {kSupervisorId, kUserId}) {
    for (u8 const inner : {kSupervisorId, kUserId}) {
      for (MessageFormat const format : {MessageFormat::V1, MessageFormat::V3}) {
        for (std::string const& text : {std::string{"in"}, std::string{"outer sized"}, std::string(100, 'i')}) {
          for (u32 at = 1;; ++at) {
            bool met = false;
            interrupt_at(at, [&] {
              met = true;
              EXPECT_EQ(say(text, inner, kInner).error(), CommunicateError::CallInProgress);
            });
            auto const got = say("outer words", outer, kEcho, format);
            world_.interrupt = nullptr;
            ASSERT_EQ(got, "OUTER WORDS") << "interrupted at access " << at;
            if (!met) {
              break;
            }
            ++tried;
          }
        }
      }
    }
  }
  EXPECT_GE(tried, 100u);
  EXPECT_EQ(std::ranges::count(mm_.served, "OUTER WORDS"), std::ssize(mm_.served)) << "no inner message was sent";
}

TEST_F(TurnTest, AnInterruptAnywhereInARequestLeavesTheRequestItsAnswer) {
  world_.mm = [](FakeWorld& w) {
    w.put(kBuffer + 24 + 24, abi::VersionInfo{0x77, 1, 4});
    answer(w, 0, 40);
  };
  SupervisorClient<Communicator, InterruptedWorld> client{*communicator_, kSupervisorId};
  u32 at = 0;
  for (bool met = true; met;) {
    met = false;
    interrupt_at(++at, [&] {
      met = true;
      EXPECT_EQ(client.version().error(), Status::NotReady);
      EXPECT_EQ(client.notify(kInner).error(), Status::NotReady);
    });
    auto const got = client.version();
    world_.interrupt = nullptr;
    ASSERT_TRUE(got.has_value()) << at;
    ASSERT_EQ(got->version, 0x77u) << at;
  }
  EXPECT_GT(at, 8u);
}

TEST_F(TurnTest, TheTurnEndsWithTheAnswer) {
  {
    auto const answer = communicator_->communicate_in_place(kUserId, {kEcho, bytes_of("kept")});
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(say("next").error(), CommunicateError::CallInProgress);
    EXPECT_FALSE(communicator_->apply_update());
    std::array<std::byte, 4> kept{};
    ASSERT_TRUE(answer->read(0, kept).has_value());
    EXPECT_EQ(std::memcmp(kept.data(), "KEPT", 4), 0);
  }
  EXPECT_EQ(say("next"), "NEXT");
}

TEST_F(TurnTest, AnUpdateThatComesInACallWaitsForTheNext) {
  constexpr u64 kNewBuffer = 0x50'0000, kNewMailbox = 0x60'0000;
  u32 at = 0;
  for (bool met = true; met;) {
    met = false;
    u64 const before = raw(communicator_->find(kUserId)->address());
    interrupt_at(++at, [&] {
      met = true;
      EXPECT_TRUE(communicator_->offer_update({1, kNewBuffer, 1, kNewMailbox}).has_value());
      EXPECT_FALSE(communicator_->apply_update());
    });
    auto const got = say("moving");
    world_.interrupt = nullptr;
    ASSERT_EQ(got, "MOVING") << at;
    EXPECT_EQ(raw(communicator_->find(kUserId)->address()), before);
    ASSERT_TRUE(communicator_->offer_update({1, kOtherBuffer, 1, kOtherMailbox}).has_value());
  }
  EXPECT_GT(at, 8u);
}

TEST_F(TurnTest, TwoThreadsGetTheirOwnAnswersOnly) {
  std::array<u32, 2> served{}, refused{};
  std::latch start{2};
  auto const client = [&](std::size_t who) {
    std::string const text(who == 0 ? 5 : 9, who == 0 ? 'a' : 'b'), wanted(text.size(), who == 0 ? 'A' : 'B');
    start.arrive_and_wait();
    for (u32 i = 0; i < 500; ++i) {
      auto const got = say(text, static_cast<u8>(i % 2));
      if (got.has_value()) {
        ASSERT_EQ(*got, wanted);
        ++served[who];
      } else {
        ASSERT_EQ(got.error(), CommunicateError::CallInProgress);
        ++refused[who];
      }
    }
  };
  std::thread other{client, 1};
  client(0);
  other.join();
  EXPECT_EQ(served[0] + refused[0], 500u);
  EXPECT_GT(served[0] + served[1], 0u);
}

// --- MMIs that are lost -------------------------------------------------------------------------------------------

TEST_F(TurnTest, ALostMessageIsWithdrawnAndTheNextCallWorks) {
  u32 tried = 0;
  for (u8 const id : {kSupervisorId, kUserId}) {
    for (MessageFormat const format : {MessageFormat::V1, MessageFormat::V3}) {
      for (u32 lost = 1; lost <= 25; ++lost, ++tried) {
        mm_.served.clear();
        mm_.lose = lost;
        for (u32 i = 0; i < lost; ++i) {
          auto const got = say(std::string(1 + i % 20, 'l'), id, kEcho, format);
          ASSERT_EQ(got.error(), CommunicateError::MmDidNotAnswer);
          ASSERT_EQ(efi_status(got.error(), Status::Success), Status::NotStarted);
          ASSERT_EQ(communicator_->answer().return_status, static_cast<u64>(kUntouched));
        }
        EXPECT_EQ(valid(kMailbox) + valid(kOtherMailbox), 0);
        ASSERT_TRUE(trigger_.trigger(0x55, 0).has_value()) << "an MMI of somebody else";
        EXPECT_TRUE(mm_.served.empty());
        EXPECT_EQ(say("again", id, kEcho, format), "AGAIN");
      }
    }
  }
  EXPECT_GE(tried, 100u);
}

TEST_F(TurnTest, AnMmiThatServesTheOtherChannelDoesNotLeaveTheMessageBehind) {
  world_.put(kOtherBuffer, abi::CommunicateHeader{kInner, 3});
  world_.put(kOtherMailbox, abi::CommBufferStatus{1, {}, 0, 0});
  EXPECT_EQ(say("second", kSupervisorId).error(), CommunicateError::MmDidNotAnswer);
  EXPECT_EQ(mm_.served.size(), 1u) << "the user's message came first";
  EXPECT_EQ(valid(kMailbox), 0);
  EXPECT_EQ(say("second", kSupervisorId), "SECOND");
}

TEST_F(TurnTest, ALostMessageLeavesNothingInTheBuffer) {
  mm_.lose = 1;
  EXPECT_FALSE(say("some secret").has_value());
  EXPECT_EQ(world_.text(kOtherBuffer, 64), std::string(64, '\0'));
}

TEST_F(TurnTest, AMailboxThatIsAnsweredAndStillValidIsNoAnswer) {
  for (u64 const status : {u64{0}, static_cast<u64>(Status::NotFound)}) {
    world_.mm = [&](FakeWorld& w) { w.put(kOtherMailbox, abi::CommBufferStatus{1, {}, status, 24 + 5}); };
    EXPECT_EQ(say("hello").error(), CommunicateError::InvalidResponse);
    EXPECT_EQ(valid(kOtherMailbox), 0) << "and nobody serves it later";
  }
}

/// An executor that fails, before or behind the MMI.
struct Failing {
  InterruptedWorld& world;
  CapitalMm& mm;
  bool served;
  Expected<void> execute_mm(CommunicateBuffer&) noexcept {
    if (served) {
      mm.serve(world);
    }
    return std::unexpected(Status::DeviceError);
  }
};

TEST_F(TurnTest, AnExecutorThatFailsLeavesNoMessage) {
  for (u64 const mailbox : {kOtherMailbox, u64{0}}) {
    for (bool const served : {false, true}) {
      Failing failing{world_, mm_, served};
      CommunicationConfig config;
      config.comm_buffers[0] = CommunicateBuffer::make(world_, kOtherBuffer, kPageSize, kUserId, mailbox).value();
      MmCommunicator<InterruptedWorld, Failing> communicator{world_, config, &failing};
      for (u32 i = 0; i < 3; ++i) {
        auto const got = communicator.communicate(kUserId, {kEcho, bytes_of("lost")}, {});
        EXPECT_EQ(got.error(), CommunicateError::SwMmiFailed);
        EXPECT_EQ(valid(kOtherMailbox), 0);
        EXPECT_EQ(world_.text(kOtherBuffer, 32), std::string(32, '\0')) << "MM without a mailbox reads the buffer";
      }
    }
  }
}

TEST_F(TurnTest, AMessageOfSomebodyElseIsNotWithdrawn) {
  world_.put(kOtherMailbox, abi::CommBufferStatus{1, {}, 0, 0});
  EXPECT_EQ(say("mine").error(), CommunicateError::CommBufferBusy);
  EXPECT_EQ(valid(kOtherMailbox), 1);
}

}  // namespace
}  // namespace mm::communication
