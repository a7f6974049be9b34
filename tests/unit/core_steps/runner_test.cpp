// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/steps/runner.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

namespace mm::steps {
namespace {

/// A normal world of bytes; an MMI answers Success with 5000 bytes of 0x42 in the user buffer.
struct FakeWorld {
  std::map<u64, std::byte> memory;
  std::vector<std::vector<std::byte>> frames;
  u32 mmis = 0;

  void read(PhysAddr at, std::span<std::byte> out) noexcept {
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = memory[raw(at) + i];
    }
  }
  void write(PhysAddr at, std::span<std::byte const> in) noexcept {
    for (std::size_t i = 0; i < in.size(); ++i) {
      memory[raw(at) + i] = in[i];
    }
  }
  u32 port_in(u16, abi::IoWidth) noexcept { return 0x27; }
  void port_out(u16 port, abi::IoWidth, u32) noexcept {
    if (port != platform::kPortApmCnt) {
      return;
    }
    ++mmis;
    abi::CommBufferStatus const status{0, {}, 0, 5000};
    write(comm_mailbox(abi::Channel::User), std::as_bytes(std::span{&status, 1}));
    write(comm_buffer(abi::Channel::User), std::vector<std::byte>(5000, std::byte{0x42}));
  }
  Expected<u64> read_msr(u32) noexcept { return std::unexpected(Status::Unsupported); }
  Expected<void> write_msr(u32, u64) noexcept { return {}; }
  void send_ipi(u32, u32) noexcept { ++mmis; }
  void emit(abi::FrameKind, std::span<std::byte const> payload) noexcept {
    frames.emplace_back(payload.begin(), payload.end());
  }

  StepResult result(std::size_t i) const {
    StepResult r;
    std::memcpy(&r, frames.at(i).data(), sizeof r);
    return r;
  }
};
static_assert(StepWorld<FakeWorld>);

std::vector<std::byte> program(Step const& step, std::size_t data) {
  StepProgramHeader const head{.count = 1, .total_bytes = static_cast<u32>(48 + (data + 7) / 8 * 8)};
  std::vector<std::byte> out(head.total_bytes);
  std::memcpy(out.data(), &head, sizeof head);
  std::memcpy(out.data() + 16, &step, sizeof step);
  return out;
}

TEST(Steps, ALongReplyComesInSeveralFrames) {
  FakeWorld world;
  auto const bytes = program({1, 0, 25, 1, 1, 65536}, 25);
  EXPECT_EQ(run_steps(world, bytes), 1u);
  ASSERT_EQ(world.frames.size(), 2u);
  EXPECT_EQ(world.mmis, 1u);
  EXPECT_EQ(world.result(0).value, 5000u);
  EXPECT_EQ(world.result(0).data_bytes, 5000u);
  EXPECT_EQ(world.result(1).data_offset, kResultChunk);
  EXPECT_EQ(world.frames[1].size(), sizeof(StepResult) + 5000 - kResultChunk);
}

TEST(Steps, ACallGoesThroughTheClient) {
  FakeWorld world;
  Step const step{static_cast<u16>(StepOp::Call), 0, 17, 1, 0, 100};
  auto bytes = program(step, 17);
  Guid const to = guids::gEventMmDispatchGuid;
  std::memcpy(bytes.data() + 48, &to, sizeof to);
  EXPECT_EQ(run_steps(world, bytes), 1u);
  ASSERT_EQ(world.frames.size(), 1u);
  EXPECT_EQ(world.mmis, 1u);
  // This world answers with a buffer full of 0x42, header included: not an answer to what was sent.
  EXPECT_EQ(world.result(0).detail, (1 + static_cast<u64>(communication::CommunicateError::InvalidResponse)) << 8);
  EXPECT_EQ(world.result(0).status, static_cast<u64>(Status::CompromisedData));
  EXPECT_EQ(world.result(0).data_bytes, 100u);
}

/// A world that measures MMIs which never reach MM.
struct DeafWorld : FakeWorld {
  u64 timed_out(u16, u8) noexcept { return 7; }
};

TEST(Steps, AMeasuredMessageThatNobodyTookIsWithdrawn) {
  DeafWorld world;
  auto const bytes = program({12, 0, 25, 3, platform::kPortApmCnt, 0}, 25);
  EXPECT_EQ(run_steps(world, bytes), 1u);
  EXPECT_EQ(world.result(0).status, static_cast<u64>(Status::NotStarted));
  EXPECT_EQ(world.memory[raw(comm_mailbox(abi::Channel::User))], std::byte{0});
}

TEST(Steps, AMeasuredMessageGoesToItsChannel) {
  for (auto const which : {abi::Channel::User, abi::Channel::Supervisor}) {
    auto const other = which == abi::Channel::User ? abi::Channel::Supervisor : abi::Channel::User;
    DeafWorld world;
    world.memory[raw(comm_mailbox(other))] = std::byte{0x5A};
    auto bytes = program({12, 0, 25, 3, platform::kPortApmCnt, which == abi::Channel::User ? 0u : 1u}, 25);
    bytes[48] = std::byte{0x77};
    EXPECT_EQ(run_steps(world, bytes), 1u);
    EXPECT_EQ(world.result(0).status, static_cast<u64>(Status::NotStarted));
    EXPECT_EQ(world.memory[raw(comm_buffer(which))], std::byte{0x77});
    EXPECT_EQ(world.memory[raw(comm_mailbox(other))], std::byte{0x5A});
    EXPECT_NE(world.memory[raw(comm_buffer(other))], std::byte{0x77});
  }
}

TEST(Steps, EveryTruncationGivesOneErrorResult) {
  auto const whole = program({6, 0, 24, platform::kScratch, 0, 0}, 24);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    FakeWorld world;
    EXPECT_EQ(run_steps(world, std::span{whole}.first(n)), 0u);
    ASSERT_EQ(world.frames.size(), 1u);
    EXPECT_EQ(world.result(0).status, static_cast<u64>(Status::InvalidParameter));
  }
}

TEST(Steps, RefusesOperandsOutOfRange) {
  constexpr u64 kMax = UINT64_MAX;
  Step const bad[] = {{0, 0, 0, 0, 0, 0},       {99, 0, 0, 0, 0, 0},       {1, 0, 0, 2, 1, 0},
                      {2, 0, 0, kMax, 0, 0},    {3, 0, 0, 256, 0, 0},      {4, 0, 0, 256, 0, 0},
                      {5, 0, 0, 0, kMax, 0},    {5, 0, 0, kMax, 1, 0},     {7, 0, 0, 0, 1, 256},
                      {8, 0, 0, 0x10000, 0, 0}, {9, 0, 0, 0, 3, 0},        {10, 0, 0, kMax, 0, 0},
                      {13, 0, 0, 1, 0, 0},      {13, 0, 0, 2, 0, 0},       {23, 0, 0, 1, 0, 0},
                      {24, 0, 0, 8, 0, 0},      {24, 0, 0, 1, 0x3'0000, 0}};
  for (auto const& step : bad) {
    FakeWorld world;
    EXPECT_EQ(run_steps(world, program(step, 0)), 1u);
    ASSERT_EQ(world.frames.size(), 1u);
    EXPECT_EQ(world.result(0).detail, 1u);
    EXPECT_EQ(world.mmis, 0u);
  }
}

TEST(Steps, LaterLoadsAreFourGeneralRegistersAtMost) {
  for (u64 const mask : {0x10u, 0x1'0000u, 0x1Fu, 0x2Fu | 0x40u}) {
    FakeWorld world;
    run_steps(world, program({23, 0, sizeof(CpuState), mask, 0, 0}, sizeof(CpuState)));
    EXPECT_EQ(world.result(0).detail, 1u) << mask;
  }
}

TEST(Steps, WhatAWorldCannotDoIsUnsupported) {
  FakeWorld world;
  run_steps(world, program({23, 0, sizeof(CpuState), 8, 0, 0}, sizeof(CpuState)));
  run_steps(world, program({24, 0, 0, 1, 0xB2, 0}, 0));
  EXPECT_EQ(world.result(0).status, static_cast<u64>(Status::Unsupported));
  EXPECT_EQ(world.result(1).status, static_cast<u64>(Status::Unsupported));
}

TEST(CpuState, SegmentsThatTheProgramCannotRunWith) {
  ASSERT_TRUE(is_runnable(initial_cpu_state()));
  for (u64 selector = 0; selector < 0x40; ++selector) {
    for (auto const r :
         {CpuRegister::Cs, CpuRegister::Ss, CpuRegister::Es, CpuRegister::Ds, CpuRegister::Fs, CpuRegister::Gs}) {
      CpuState state = initial_cpu_state();
      state[r] = selector;
      bool const good = r == CpuRegister::Cs   ? selector == 0x18
                        : r == CpuRegister::Ss ? selector == 0 || selector == 0x10
                                               : selector <= 0x18 && selector % 8 == 0;
      EXPECT_EQ(is_runnable(state), good) << static_cast<u32>(r) << " " << selector;
    }
  }
}

TEST(MmiCode, LoadsComeBetweenTheOutAndTheJump) {
  LaterLoads later{.mask = 1u << 3 | 1u << 15};
  later.values[3] = 0x1122334455667788;
  MmiCode const code = out_code(OutForm::Dx, 0, later);
  std::vector<u8> const wanted{0xEE, 0x48, 0xBB, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x49, 0xBF};
  EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), code.bytes.begin()));
  EXPECT_EQ(code.instruction, 1u);
  EXPECT_EQ(code.bytes[1 + 2 * kLoadBytes], 0xEB);
}

}  // namespace
}  // namespace mm::steps
