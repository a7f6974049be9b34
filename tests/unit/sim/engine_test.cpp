// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/engine/engine.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "sim/engine/scratch_guest.hpp"

namespace mm::sim {
namespace {

using G = ScratchGuest;

std::unique_ptr<Engine> make(G& guest, EngineConfig const& config = {}) {
  auto made = guest.engine(config);
  if (!made.has_value()) {
    throw std::runtime_error(made.error());
  }
  return std::move(*made);
}

TEST(Engine, SelfTestHolds) {
  auto const result = engine_self_test();
  EXPECT_TRUE(result.has_value()) << (result.has_value() ? "" : result.error());
}

TEST(Engine, CodeOutsideItsRangeIsAMachineCheck) {
  G guest;
  guest.code({0xFF, 0xE0});  // jmp rax
  guest.code({0x0F, 0x05}, G::kCode + 0x1000);
  auto engine = make(guest);
  auto const run = [&](Range range) {
    engine->set_code_range(range);
    auto user = G::context();
    user.rax = G::kCode + 0x1000;
    auto const exit = engine->run(user);
    return std::pair{exit.stop, exit.vector};
  };
  EXPECT_EQ(run({}).first, EngineStop::Syscall);
  EXPECT_EQ(run({G::kCode, 0x2000}).first, EngineStop::Syscall);
  EXPECT_EQ(run({G::kCode, 0x1000}), (std::pair{EngineStop::Fault, u64{18}}));
  EXPECT_EQ(run({}).first, EngineStop::Syscall);
}

TEST(Engine, GateReturnKeepsTheStackAndGivesRax) {
  G guest;
  // push r15; call far [rsp]
  guest.code({0xB8, 0x34, 0x12, 0x00, 0x00, 0x41, 0x57, 0xFF, 0x1C, 0x24});
  auto engine = make(guest);
  for (int round = 0; round < 3; ++round) {
    auto user = G::context();
    user.r15 = u64{0x63} << 32;
    auto const exit = engine->run(user);
    EXPECT_EQ(exit.stop, EngineStop::Return);
    EXPECT_EQ(user.rax, 0x1234u);
    EXPECT_EQ(user.rip, G::kCode + 7);
  }
}

TEST(Engine, FarCallToRingThreeTrampolineIsNative) {
  G guest;
  guest.code({0x41, 0x57, 0xFF, 0x1C, 0x24});
  guest.code({0x48, 0x83, 0xC4, 0x10, 0x0F, 0x05}, G::kCode + 0x800);  // add rsp, 16; syscall
  auto engine = make(guest);
  auto user = G::context();
  user.r15 = u64{0x5B} << 32 | (G::kCode + 0x800);
  auto const exit = engine->run(user);
  EXPECT_EQ(exit.stop, EngineStop::Syscall);
  EXPECT_EQ(user.rsp, G::kStackTop - 0x100);
  EXPECT_EQ(user.rip, G::kCode + 0x806);
}

TEST(Engine, SyscallContinuesWithSseIntact) {
  G guest;
  // movq xmm3, rax; syscall; movq rbx, xmm3; syscall
  guest.code({0x66, 0x48, 0x0F, 0x6E, 0xD8, 0x0F, 0x05, 0x66, 0x48, 0x0F, 0x7E, 0xDB, 0x0F, 0x05});
  auto engine = make(guest);
  auto user = G::context();
  user.rax = 0xABCDEF0123456789;
  EXPECT_EQ(engine->run(user).stop, EngineStop::Syscall);
  EXPECT_EQ(user.rip, G::kCode + 7);
  EXPECT_EQ(user.rcx, user.rip);
  user.rax = 0;
  EXPECT_EQ(engine->run(user).stop, EngineStop::Syscall);
  EXPECT_EQ(user.rbx, 0xABCDEF0123456789);
  EXPECT_EQ(user.rip, G::kCode + 14);
}

TEST(Engine, SyscallInTheMiddleOfABlockStopsBeforeWhatFollows) {
  G guest;
  guest.code({0x0F, 0x05, 0xC6, 0x00, 0x7F, 0x0F, 0x05});  // syscall; mov byte [rax], 7F; syscall
  auto engine = make(guest);
  auto user = G::context();
  user.rax = G::kData;
  EXPECT_EQ(engine->run(user).stop, EngineStop::Syscall);
  EXPECT_EQ(guest.get(G::kData), 0u);
  EXPECT_EQ(engine->run(user).stop, EngineStop::Syscall);
  EXPECT_EQ(guest.get(G::kData), 0x7Fu);
}

TEST(Engine, BudgetEndsAnEndlessLoop) {
  G guest;
  guest.code({0xEB, 0xFE});
  auto engine = make(guest, {.budget_blocks = 1000});
  auto user = G::context();
  EXPECT_EQ(engine->run(user).stop, EngineStop::Budget);
  EXPECT_EQ(user.rip, G::kCode);
  EXPECT_EQ(engine->blocks(), 1000u);
  EXPECT_EQ(engine->run(user).stop, EngineStop::Budget);
  engine->begin_entry();
  EXPECT_EQ(engine->run(user).stop, EngineStop::Budget);
  EXPECT_EQ(engine->blocks(), 2000u);
}

TEST(Engine, SlicesContinueToTheSameResult) {
  G guest;
  guest.code({0x48, 0xFF, 0xC3, 0x48, 0xFF, 0xC9, 0x75, 0xF8, 0x0F, 0x05});  // inc rbx; dec rcx; jnz; syscall
  auto engine = make(guest, {.slice_blocks = 17});
  auto user = G::context();
  user.rcx = 1000;
  int slices = 0;
  EngineExit exit{};
  while ((exit = engine->run(user)).stop == EngineStop::Slice) {
    ++slices;
  }
  EXPECT_EQ(exit.stop, EngineStop::Syscall);
  EXPECT_EQ(user.rbx, 1000u);
  EXPECT_GT(slices, 50);
}

TEST(Engine, ChangedPageRightsHoldAfterFlush) {
  G guest;
  guest.code({0x88, 0x08, 0x0F, 0x05});
  auto engine = make(guest);
  auto user = G::context();
  user.rax = G::kData;
  EXPECT_EQ(engine->run(user).stop, EngineStop::Syscall);
  guest.map(G::kData, memory::kUserReadOnly);
  engine->flush_tlb();
  user = G::context();
  user.rax = G::kData;
  auto const exit = engine->run(user);
  EXPECT_EQ(exit.stop, EngineStop::Fault);
  EXPECT_EQ(exit.error_code, 7u);
}

TEST(Engine, RdtscIsVirtual) {
  u64 const time = 0x1'0000'0007;
  G guest;
  guest.code({0x0F, 0x31, 0x0F, 0x05});
  auto engine = make(guest, {.time_ns = &time});
  auto user = G::context();
  EXPECT_EQ(engine->run(user).stop, EngineStop::Syscall);
  EXPECT_EQ(user.rdx, 1u);
  EXPECT_EQ(user.rip, G::kCode + 4);
}

TEST(Engine, RepOutsIsRefusedWithoutEffect) {
  G guest;
  guest.code({0xF3, 0x6E, 0x0F, 0x05});  // rep outsb
  auto engine = make(guest);
  auto user = G::context();
  user.rcx = 4;
  user.rsi = G::kData;
  auto const exit = engine->run(user);
  EXPECT_EQ(exit.stop, EngineStop::Fault);
  EXPECT_EQ(exit.vector, 13u);
  EXPECT_EQ(user.rip, G::kCode);
  EXPECT_EQ(user.rcx, 4u);
}

}  // namespace
}  // namespace mm::sim
