// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/supervisor/save_state_reads.hpp"

#include <gtest/gtest.h>

#include "tests/support/policy_blob.hpp"
#include "tests/unit/core_supervisor/part.hpp"

/// The two phases of a save-state read, over processors, address space and gate that are set up by hand.
namespace mm::test {
namespace {

constexpr u64 kSmbase = 0x3'0000;
constexpr u64 kBuffer = 0x20'0000;  ///< of ring 3
constexpr u64 kRing0 = 0x20'1000;
constexpr u64 kToken = 0x77;
constexpr u64 kRbx = 39;

struct SaveStateReadsTest : ::testing::Test, Part {
  SaveStateReadsTest() {
    processors.adopt(kIds, kBases, {}, 0, 0);
    space.adopt_tables(cpu);
    map(kBuffer, kPageSize, memory::kUserData);
    map(kRing0, kPageSize, memory::kSupervisorData);
    adopt(Blob::make({{1, 1, {}}}));
    put(kSmbase + supervisor::save_state::kOffset + 0x2FC, u32{0x0003'0064});  // AMD64
    put(kSmbase + supervisor::save_state::kOffset + 0x3E0, u64{0x1122'3344'5566'7788});
  }
  void adopt(std::vector<u8> const& policy) {
    machine.memory.write(0x9000, std::as_bytes(std::span(policy)));
    EXPECT_EQ(gate.adopt(cpu, PhysAddr{0x9000}, policy.size()).problem, policy::Problem::None);
  }
  supervisor::SyscallResult stage(u64 token, u64 reg, u64 target = 0) {
    return reads.stage(here, processors, {token, reg, target});
  }
  supervisor::SyscallResult read(u64 token, u64 width, u64 buffer = kBuffer) {
    return reads.read(here, processors, space, gate, {token, width, UserAddr{buffer}});
  }
  Status told_to_ring3(u64 token, u64 width, u64 buffer = kBuffer) {
    auto const result = read(token, width, buffer);
    EXPECT_EQ(result.status, Status::Success);
    return static_cast<Status>(result.rax);
  }

  static constexpr std::array<u32, 2> kIds{0, 5};
  static constexpr std::array<u64, 2> kBases{kSmbase, 0x4'0000};
  supervisor::Processors<fake::Machine> processors;
  supervisor::AddressSpace<fake::Machine> space;
  supervisor::Gate<fake::Machine> gate;
  supervisor::SaveStateReads<fake::Machine> reads;
};

TEST_F(SaveStateReadsTest, TwoPhasesGiveOneValue) {
  EXPECT_EQ(stage(kToken, kRbx).status, Status::Success);
  EXPECT_EQ(cpu.barrier_count, 1u);
  EXPECT_EQ(told_to_ring3(kToken, 4), Status::Success);
  EXPECT_EQ(get<u64>(kBuffer), 0x5566'7788u);
  EXPECT_EQ(told_to_ring3(kToken, 4), Status::NotStarted) << "once";
}

TEST_F(SaveStateReadsTest, WhatPhaseOneRefuses) {
  EXPECT_EQ(stage(0, kRbx).status, Status::InvalidParameter);
  EXPECT_EQ(stage(kToken, 515).status, Status::InvalidParameter);
  EXPECT_EQ(stage(kToken, kRbx, 2).status, Status::InvalidParameter);
  EXPECT_EQ(told_to_ring3(kToken, 8), Status::NotStarted);
}

TEST_F(SaveStateReadsTest, WhatPhaseTwoRefuses) {
  stage(kToken, kRbx);
  EXPECT_EQ(read(0, 8).status, Status::InvalidParameter);
  stage(kToken, kRbx);
  EXPECT_EQ(read(kToken, 8, kRing0).status, Status::SecurityViolation);
  stage(kToken, kRbx);
  EXPECT_EQ(told_to_ring3(kToken, 9), Status::InvalidParameter) << "wider than the register";
  stage(kToken, 38);
  EXPECT_EQ(told_to_ring3(kToken, 1), Status::NotFound) << "RAX without an I/O trap";
  EXPECT_EQ(get<u64>(kBuffer), 0u);
  EXPECT_EQ(get<u64>(kRing0), 0u);
}

TEST_F(SaveStateReadsTest, ThePolicyIsAsked) {
  adopt(Blob::make({{5, 0, {}}, {1, 1, {}}}));
  stage(kToken, kRbx);
  EXPECT_EQ(told_to_ring3(kToken, 8), Status::AccessDenied);
  EXPECT_EQ(told<hal::event::PolicyRefusal>().size(), 1u);
}

TEST_F(SaveStateReadsTest, AnotherCpuHasItsOwnIdAndNotOurPhase) {
  stage(kToken, supervisor::save_state::kRegProcessorId, 1);
  EXPECT_EQ(told_to_ring3(kToken, 8), Status::Success);
  EXPECT_EQ(get<u64>(kBuffer), 5u);
  stage(kToken, kRbx);
  here.index = 1;
  EXPECT_EQ(told_to_ring3(kToken, 8), Status::AccessDenied);
}

}  // namespace
}  // namespace mm::test
