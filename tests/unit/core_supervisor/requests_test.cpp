// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/supervisor/requests.hpp"

#include <gtest/gtest.h>

#include "tests/support/policy_blob.hpp"
#include "tests/unit/core_supervisor/part.hpp"

/// The supervisor channel without MMIs: what each message does to channels, address space and stages.
namespace mm::test {
namespace {

using abi::SupervisorRequest;

constexpr u64 kBuffers = 0x30'0000;  ///< the copies in MMRAM are anywhere here
constexpr u64 kOutside = 0x4000'0000;
constexpr u64 kImage = 0x60'0000;

struct RequestsTest : ::testing::Test, Part {
  RequestsTest() {
    map(kMmram, kMmramBytes, memory::kSupervisorData);
    map(kMmram, kMmramBytes, {});
    put(0x8000, abi::MmramDescriptor{kMmram, kMmram, kMmramBytes, 0});
    space.adopt_tables(cpu);
    EXPECT_TRUE(space.adopt_mmram(cpu, PhysAddr{0x8000}, 1));
    channels.adopt(abi::Channel::Supervisor, {0x20'0000, kBuffers, 0x4000, 0x20'8000, 0});
    channels.adopt(abi::Channel::User, {0x21'0000, kBuffers + 0x1'0000, 0x4000, 0x20'9000, 0});
    auto const policy = Blob::make({{1, 1, {}}});
    machine.memory.write(0x9000, std::as_bytes(std::span(policy)));
    EXPECT_EQ(gate.adopt(cpu, PhysAddr{0x9000}, policy.size()).problem, policy::Problem::None);
  }
  Status say(Guid name) {
    u64 bytes = 0;
    return requests.handle(here, channels, space, gate, {name, 24, 0, 1}, bytes);
  }
  template <typename T>
  Status ask(SupervisorRequest request, T const& payload) {
    u64 const at = kBuffers + sizeof(abi::CommunicateHeader);
    put(at, abi::SupervisorRequestHeader{abi::kRequestSignature, 1, static_cast<u32>(request), 0, 0});
    put(at + sizeof(abi::SupervisorRequestHeader), payload);
    reply = sizeof(abi::SupervisorRequestHeader) + sizeof(T);
    auto const handled =
        requests.handle(here, channels, space, gate, {guids::gMmSupervisorRequestHandlerGuid, 24, reply, 1}, reply);
    EXPECT_EQ(handled, Status::Success);
    return static_cast<Status>(get<abi::SupervisorRequestHeader>(at).result);
  }
  static abi::UnblockMemoryParams region(u64 base, u64 pages = 1) {
    abi::UnblockMemoryParams params;
    params.descriptor.physical_start = base;
    params.descriptor.number_of_pages = pages;
    params.identifier = "11111111-2222-3333-4444-555555555555"_guid;
    return params;
  }

  supervisor::AddressSpace<fake::Machine> space;
  supervisor::Channels<fake::Machine> channels;
  supervisor::Gate<fake::Machine> gate;
  supervisor::Requests<fake::Machine> requests;
  u64 reply = 0;
};

TEST_F(RequestsTest, NobodyAnswersAnotherName) { EXPECT_EQ(say(Guid{}), Status::NotFound); }

TEST_F(RequestsTest, UnblockUntilTheLock) {
  EXPECT_EQ(ask(SupervisorRequest::UnblockMem, region(kOutside)), Status::Success);
  EXPECT_EQ(ask(SupervisorRequest::UnblockMem, region(kMmram)), Status::SecurityViolation);
  EXPECT_EQ(say(guids::gEfiDxeMmReadyToLockProtocolGuid), Status::Success);
  EXPECT_EQ(ask(SupervisorRequest::UnblockMem, region(kOutside + kPageSize)), Status::AccessDenied);
  auto const told = this->told<hal::event::Unblocked>();
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[2].status, Status::AccessDenied);
}

TEST_F(RequestsTest, TheLockIsSaidOnce) {
  EXPECT_EQ(say(guids::gEfiDxeMmReadyToLockProtocolGuid), Status::Success);
  EXPECT_EQ(say(guids::gEfiDxeMmReadyToLockProtocolGuid), Status::NotFound);
  EXPECT_EQ(told<hal::event::Lock>().size(), 1u);
}

TEST_F(RequestsTest, ExitBootServicesIsRuntime) {
  EXPECT_FALSE(requests.is_runtime());
  EXPECT_EQ(say(guids::gEfiEventExitBootServicesGuid), Status::Success);
  EXPECT_TRUE(requests.is_runtime());
}

TEST_F(RequestsTest, AFetchLocksAndGivesWhatIsOpen) {
  EXPECT_EQ(ask(SupervisorRequest::UnblockMem, region(kOutside, 2)), Status::Success);
  std::array<std::byte, 512> room{};
  EXPECT_EQ(ask(SupervisorRequest::FetchPolicy, room), Status::Success);
  EXPECT_EQ(told<hal::event::Lock>().at(0).event, hal::LockEvent::PolicyFetched);
  u64 const payload = kBuffers + sizeof(abi::CommunicateHeader) + sizeof(abi::SupervisorRequestHeader);
  EXPECT_EQ(get<u32>(payload + 4), gate.view().size() + policy::kMemDescriptorSize);
  EXPECT_EQ(get<u64>(payload + gate.view().size()), kOutside);
  EXPECT_EQ(ask(SupervisorRequest::FetchPolicy, u64{0}), Status::BufferTooSmall);
}

TEST_F(RequestsTest, AChangeAfterTheLockIsNoticed) {
  EXPECT_EQ(say(guids::gEfiDxeMmReadyToLockProtocolGuid), Status::Success);
  map(kOutside, kPageSize, memory::kUserData);
  std::array<std::byte, 512> room{};
  EXPECT_EQ(ask(SupervisorRequest::FetchPolicy, room), Status::SecurityViolation);
}

TEST_F(RequestsTest, AVersionComesFromTheImage) {
  EXPECT_EQ(ask(SupervisorRequest::VersionInfo, abi::VersionInfo{}), Status::CompromisedData);
  requests.read_version(cpu, {kImage, 0x1000});
  EXPECT_EQ(ask(SupervisorRequest::VersionInfo, abi::VersionInfo{}), Status::CompromisedData) << "no PE header";
  put(kImage, u16{0x5A4D});
  put(kImage + 0x3C, u32{0x80});
  put(kImage + 0x80, u32{0x4550});
  put(kImage + 0x98, u16{0x20B});
  put(kImage + 0x98 + 44, std::array<u16, 4>{1, 2, 3, 4});
  requests.read_version(cpu, {kImage, 0x1000});
  EXPECT_EQ(ask(SupervisorRequest::VersionInfo, abi::VersionInfo{}), Status::Success);
  u64 const payload = kBuffers + sizeof(abi::CommunicateHeader) + sizeof(abi::SupervisorRequestHeader);
  EXPECT_EQ(get<abi::VersionInfo>(payload).patch_level, 0x1'0002u);
  EXPECT_EQ(get<abi::VersionInfo>(payload).version, 0x3'0004u);
}

TEST_F(RequestsTest, BothChannelsMoveOnce) {
  auto const old = channels.pages();
  for (Range const& range : old) {
    map(range.base, range.size, memory::kSupervisorData);
  }
  std::array<abi::UnblockMemoryParams, 4> wanted;
  for (u64 i = 0; i < wanted.size(); ++i) {
    wanted[i] = region(kOutside + i * 0x1'0000, old[i].size >> kPageShift);
    wanted[i].descriptor.type = 6;
    wanted[i].descriptor.attribute = abi::kMemoryXp | abi::kMemorySp;
  }
  auto twice = wanted;
  twice[3].descriptor.physical_start = twice[2].descriptor.physical_start;
  EXPECT_EQ(ask(SupervisorRequest::CommUpdate, twice), Status::SecurityViolation);
  EXPECT_EQ(channels.pages(), old);
  EXPECT_EQ(ask(SupervisorRequest::CommUpdate, wanted), Status::Success);
  EXPECT_EQ(channels.pages()[3].base, kOutside + 0x3'0000);
  EXPECT_FALSE(space.tables(cpu).query(old[0].base));
  EXPECT_EQ(ask(SupervisorRequest::CommUpdate, wanted), Status::AccessDenied);
}

TEST_F(RequestsTest, AnEnvelopeThatIsNoneIsRefused) {
  u64 bytes = 8;
  EXPECT_EQ(requests.handle(here, channels, space, gate, {guids::gMmSupervisorRequestHandlerGuid, 24, bytes, 1}, bytes),
            Status::InvalidParameter);
  EXPECT_EQ(ask(static_cast<SupervisorRequest>(9), u64{0}), Status::Unsupported);
}

}  // namespace
}  // namespace mm::test
