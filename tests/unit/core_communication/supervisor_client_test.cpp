// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/communication/supervisor_client.hpp"

#include <gtest/gtest.h>

#include "core/communication/unblock.hpp"
#include "tests/unit/core_communication/fake_world.hpp"

namespace mm::communication {
namespace {

constexpr u64 kMessage = kBuffer + sizeof(abi::CommunicateHeader);
constexpr Guid kCaller = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0001"_guid;

/// A supervisor that answers what the test wants, over the real trigger.
class SupervisorClientTest : public testing::Test {
 protected:
  using Trigger = SwMmiTrigger<FakeWorld>;
  using Communicator = MmCommunicator<FakeWorld, RealMmExecutor<Trigger>>;

  SupervisorClientTest() {
    config_.comm_buffers[0] = CommunicateBuffer::make(world_, kBuffer, 2 * kPageSize, 0, kMailbox).value();
    EXPECT_TRUE(trigger_.start().has_value());
    communicator_.emplace(world_, config_, &executor_);
    client_.emplace(*communicator_, u8{0});
  }
  /// Answers the next messages with `result` and a message of `bytes`.
  void supervisor(Status result, u64 bytes, u64 mailbox = 0) {
    world_.mm = [=, this](FakeWorld& w) {
      seen_ = w.get<abi::SupervisorRequestHeader>(kMessage);
      sent_ = w.get<abi::CommunicateHeader>(kBuffer);
      auto reply = seen_;
      reply.result = static_cast<u64>(result);
      w.put(kMessage, reply);
      answer(w, mailbox, bytes);
    };
  }

  FakeWorld world_;
  CommunicationConfig config_;
  Trigger trigger_{world_, AcpiBase{}, MmiPort::smi(0xB2), MmiPort::smi(0xB3)};
  RealMmExecutor<Trigger> executor_{trigger_};
  std::optional<Communicator> communicator_;
  std::optional<SupervisorClient<Communicator, FakeWorld>> client_;
  abi::SupervisorRequestHeader seen_;
  abi::CommunicateHeader sent_;
};

struct Hobs {
  std::vector<abi::UnblockMemoryParams> taken;
  std::size_t room = 1;
  Expected<void> append(abi::UnblockMemoryParams const& params) noexcept {
    if (taken.size() == room) {
      return std::unexpected(Status::OutOfResources);
    }
    taken.push_back(params);
    return {};
  }
};

abi::UnblockMemoryParams params(u64 address, u64 pages, Guid const& id = kCaller) {
  return {{kRuntimeServicesData, 0, address, 0, pages, 0}, id};
}
abi::MemoryDescriptor entry(MemoryType type, u64 address, u64 pages, u64 attribute = 0) {
  return {static_cast<u32>(type), 0, address, 0, pages, attribute};
}

TEST_F(SupervisorClientTest, Version) {
  world_.mm = [](FakeWorld& w) {
    w.put(kMessage + 24, abi::VersionInfo{0x0013'0008, 0x0001'0001, 4});
    answer(w, 0, 40);
  };
  auto const version = client_->version();
  ASSERT_TRUE(version.has_value());
  EXPECT_EQ(version->version, 0x0013'0008u);
  EXPECT_EQ(version->max_request_level, 4u);
}

TEST_F(SupervisorClientTest, VersionZeroIsNoSupervisor) {
  supervisor(Status::Success, 40);
  EXPECT_EQ(client_->version().error(), Status::SecurityViolation);
  EXPECT_EQ(seen_.request, 3u);
  EXPECT_EQ(sent_.message_length, 40u);
  EXPECT_EQ(sent_.header_guid, guids::gMmSupervisorRequestHandlerGuid);
}

TEST_F(SupervisorClientTest, TheResultOfTheSupervisorIsTheError) {
  supervisor(Status::AccessDenied, 24);
  EXPECT_EQ(client_->version().error(), Status::AccessDenied);
  EXPECT_EQ(client_->unblock({}).error(), Status::AccessDenied);
  EXPECT_EQ(seen_.request, 1u);
  EXPECT_EQ(sent_.message_length, 80u);
  EXPECT_EQ(client_->comm_update({}).error(), Status::AccessDenied);
  EXPECT_EQ(seen_.request, 4u);
  EXPECT_EQ(sent_.message_length, 248u);
}

TEST_F(SupervisorClientTest, AnUnblockThatFailedIsNeverASuccess) {
  Hobs hobs;
  UnblockMemory unblock{hobs};
  unblock.supervisor_is_up();
  abi::MemoryDescriptor const map[] = {entry(MemoryType::Reserved, 0x8000, 4)};
  for (u64 code = 1; code <= 120; ++code) {
    auto const status = static_cast<Status>(u64{1} << 63 | code);
    supervisor(status, 80);
    EXPECT_EQ(unblock.request_pages(*client_, map, 0x8000, 1, kCaller).error(), status) << "in the answer";
    supervisor(Status::Success, 80, static_cast<u64>(status));
    EXPECT_EQ(unblock.request_pages(*client_, map, 0x8000, 1, kCaller).error(), status) << "in the mailbox";
  }
  world_.mm = nullptr;
  EXPECT_EQ(unblock.request_pages(*client_, map, 0x8000, 1, kCaller).error(), Status::NotStarted);
}

TEST_F(SupervisorClientTest, TheMailboxStatusIsTheErrorOfAMessageThatNobodyServed) {
  supervisor(Status::Success, 40, static_cast<u64>(Status::NotFound));
  EXPECT_EQ(client_->version().error(), Status::NotFound);
  world_.mm = nullptr;
  world_.put(kMailbox, abi::CommBufferStatus{});
  EXPECT_EQ(client_->version().error(), Status::NotStarted);
}

TEST_F(SupervisorClientTest, AnotherEnvelopeIsCompromised) {
  supervisor(Status::Success, 23);
  EXPECT_EQ(client_->version().error(), Status::CompromisedData);
  for (u64 const at : {u64{0}, u64{4}, u64{8}}) {
    world_.mm = [at](FakeWorld& w) {
      w.put(kMessage + at, u32{0x1234});
      answer(w, 0, 40);
    };
    EXPECT_EQ(client_->version().error(), Status::CompromisedData) << at;
  }
}

TEST_F(SupervisorClientTest, FetchPolicyOffersTheWholeBuffer) {
  supervisor(Status::Success, 24 + 600);
  std::vector<std::byte> blob(600);
  world_.mm = [answers = world_.mm](FakeWorld& w) {
    answers(w);
    w.put(kMessage + 24 + 599, u8{0x7E});
  };
  EXPECT_EQ(client_->fetch_policy(blob), 600u);
  EXPECT_EQ(blob.back(), std::byte{0x7E});
  EXPECT_EQ(seen_.request, 2u);
  EXPECT_EQ(sent_.message_length, 2 * kPageSize - 24);
  EXPECT_EQ(client_->fetch_policy(std::span{blob}.first(599)).error(), Status::BufferTooSmall);
}

TEST_F(SupervisorClientTest, EventsAreOneZeroByte) {
  Guid got;
  world_.mm = [&](FakeWorld& w) {
    got = w.get<abi::CommunicateHeader>(kBuffer).header_guid;
    EXPECT_EQ(w.get<abi::CommunicateHeader>(kBuffer).message_length, 1u);
    EXPECT_EQ(w.get<u8>(kMessage), 0);
    answer(w, 0, 1);
  };
  EXPECT_TRUE(client_->notify(guids::gEfiDxeMmReadyToLockProtocolGuid).has_value());
  EXPECT_EQ(got, guids::gEfiDxeMmReadyToLockProtocolGuid);
  supervisor(Status::Success, 1, static_cast<u64>(Status::NotFound));
  EXPECT_EQ(client_->notify(guids::gEfiDxeMmReadyToLockProtocolGuid).error(), Status::NotFound);
}

TEST_F(SupervisorClientTest, AClientWithoutABuffer) {
  SupervisorClient<Communicator, FakeWorld> lost{*communicator_, u8{9}};
  EXPECT_EQ(lost.version().error(), Status::NotFound);
  EXPECT_EQ(lost.fetch_policy({}).error(), Status::NotFound);
}

// --- unblock by phase ---------------------------------------------------------------------------------------------

TEST_F(SupervisorClientTest, UnblockBeforeLaunchBecomesAHob) {
  Hobs hobs;
  UnblockMemory unblock{hobs};
  EXPECT_TRUE(unblock.request_by_hob(params(0x8000, 0)).has_value());
  EXPECT_EQ(unblock.request_by_hob(params(0, 1)).error(), Status::InvalidParameter);
  EXPECT_EQ(unblock.request_by_hob(params(0x8001, 1)).error(), Status::InvalidParameter);
  EXPECT_EQ(unblock.request_by_hob(params(0x8000, 1, {})).error(), Status::InvalidParameter);
  ASSERT_TRUE(hobs.taken.empty());
  EXPECT_TRUE(unblock.request_by_hob(params(0x8000, 1)).has_value());
  EXPECT_EQ(unblock.request_by_hob(params(0x9000, 1)).error(), Status::OutOfResources);
  EXPECT_EQ(hobs.taken.size(), 1u);
  EXPECT_EQ(unblock.request_pages(*client_, {}, 0x8000, 1, kCaller).error(), Status::NotReady);
  unblock.supervisor_is_up();
  EXPECT_EQ(unblock.request_by_hob(params(0xA000, 1)).error(), Status::AccessDenied);
}

TEST_F(SupervisorClientTest, UnblockChecksInTheirOrder) {
  Hobs hobs;
  UnblockMemory unblock{hobs};
  unblock.supervisor_is_up();
  abi::MemoryDescriptor const map[] = {entry(MemoryType::RuntimeData, 0x8000, 2), entry(MemoryType::AcpiNvs, 0xA000, 1),
                                       entry(static_cast<MemoryType>(7), 0xB000, 1),
                                       entry(MemoryType::RuntimeCode, 0xC000, 1, abi::kMemoryRo),
                                       entry(MemoryType::Reserved, 0xD000, ~u64{0})};
  auto const request = [&](u64 address, u64 pages, Guid const& id = kCaller) {
    auto const done = unblock.request_pages(*client_, map, address, pages, id);
    return done.has_value() ? Status::Success : done.error();
  };
  EXPECT_EQ(request(0x8000, 1, {}), Status::InvalidParameter);
  EXPECT_EQ(request(0, 1), Status::InvalidParameter);
  EXPECT_EQ(request(0x8800, 1), Status::InvalidParameter);
  EXPECT_EQ(request(0x8000, 0), Status::Success);
  EXPECT_EQ(request(0x8000, ~u64{0}), Status::InvalidParameter);
  EXPECT_EQ(request(0x8000, ~u64{0} / kPageSize), Status::InvalidParameter);
  EXPECT_EQ(request(0x7000, 1), Status::AccessDenied) << "not in the map";
  EXPECT_EQ(request(0xA000, 2), Status::AccessDenied) << "conventional memory";
  EXPECT_EQ(request(0xC000, 1), Status::AccessDenied) << "read-only";
  EXPECT_EQ(request(0xD000, 1), Status::AccessDenied) << "an entry that wraps covers nothing";
  EXPECT_TRUE(world_.writes.empty()) << "none of these raised an MMI";

  supervisor(Status::Success, 80);
  EXPECT_EQ(request(0x8000, 3), Status::Success) << "across two entries";
  auto const sent = world_.get<abi::UnblockMemoryParams>(kMessage + 24);
  EXPECT_EQ(sent.descriptor, params(0x8000, 3).descriptor);
  EXPECT_EQ(sent.identifier, kCaller);
  supervisor(Status::SecurityViolation, 80);
  EXPECT_EQ(request(0x8000, 1), Status::SecurityViolation);
  unblock.ready_to_lock();
  EXPECT_EQ(request(0x8000, 1), Status::AccessDenied);
  EXPECT_EQ(request(0x8000, 0), Status::Success);
  EXPECT_EQ(unblock.request_by_hob(params(0x8000, 1)).error(), Status::AccessDenied);
}

}  // namespace
}  // namespace mm::communication
