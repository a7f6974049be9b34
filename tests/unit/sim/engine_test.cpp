// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/engine/engine.hpp"

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <stdexcept>
#include <vector>

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

TEST(Engine, TellsCompares) {
  struct Told {
    u64 at, left, right;
    u32 bytes;
    bool operator==(Told const&) const = default;
  };
  static std::vector<Told> told;
  told.clear();
  G guest;
  guest.code({0x48, 0x39, 0xD8,        // cmp rax, rbx
              0x81, 0xF8, 7, 0, 0, 0,  // cmp eax, 7
              0x3C, 0x41,              // cmp al, 'A'
              0x48, 0x29, 0xD8,        // sub rax, rbx: no compare
              0x0F, 0x05});
  auto engine = make(guest, {.on_compare = [](u64 at, u64 left, u64 right, u32 bytes) noexcept {
                       told.push_back({at, left, right, bytes});
                     }});
  auto user = G::context();
  user.rax = 0x1122'3344'5566'7788;
  user.rbx = 0x99;
  EXPECT_EQ(engine->run(user).stop, EngineStop::Syscall);
  EXPECT_EQ(told, (std::vector<Told>{{G::kCode, 0x1122'3344'5566'7788, 0x99, 8},
                                     {G::kCode + 3, 0x5566'7788, 7, 4},
                                     {G::kCode + 9, 0x88, 0x41, 1}}));
}

TEST(Engine, CountsTheEdgesOfTheCodeThatIsCovered) {
  std::array<u8, 64> counters{};
  Range covered{G::kCode + 0x1000, kPageSize};
  G guest;
  guest.code({0xFF, 0xE0});  // jmp rax
  guest.code({0x0F, 0x05}, G::kCode + 0x1000);
  auto engine = make(guest, {.coverage = counters, .covered = &covered});
  auto const counted = [&] {
    counters = {};
    auto user = G::context();
    user.rax = G::kCode + 0x1000;
    EXPECT_EQ(engine->run(user).stop, EngineStop::Syscall);
    return std::accumulate(counters.begin(), counters.end(), 0);
  };
  EXPECT_EQ(counted(), 1);
  covered = {G::kCode, 2 * kPageSize};
  EXPECT_EQ(counted(), 2);
  covered = {};
  EXPECT_EQ(counted(), 0);
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

// Neither end of an entry takes the TLB away; where another CR3 was in use, it is empty.
TEST(Engine, TranslationsLastUntilTheyAreFlushed) {
  G guest;
  guest.code({0x88, 0x08, 0x41, 0x57, 0xFF, 0x1C, 0x24});  // mov [rax], cl; push r15; call far [rsp]
  guest.code({0xE4, 0x80}, G::kCode + 0x800);              // in al, 80h
  auto engine = make(guest);
  auto const store = [&] {
    auto user = G::context();
    user.rax = G::kData;
    user.r15 = u64{0x63} << 32;
    return engine->run(user).stop;
  };
  EXPECT_EQ(store(), EngineStop::Return);
  guest.map(G::kData, memory::kUserReadOnly);
  EXPECT_EQ(store(), EngineStop::Return) << "the TLB went at the return of ring 3";
  auto user = G::context();
  user.rip = G::kCode + 0x800;
  EXPECT_EQ(engine->run(user).vector, 13u);
  EXPECT_EQ(store(), EngineStop::Fault)
      << "a denied instruction leaves the TLB of the tables that took everything away";
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

/// One instruction of ring 3, and what came of it.
EngineExit run_one(std::vector<u8> const& code, u64 sysenter_cs = 0, hal::UserContext* after = nullptr) {
  ScratchGuest guest;
  u64 at = ScratchGuest::kCode;
  for (u8 const byte : code) {
    guest.code({byte}, at++);
  }
  guest.code({0x0F, 0x05}, at);
  auto engine = guest.engine();
  EXPECT_TRUE(engine.has_value());
  (*engine)->flush_code();
  (*engine)->set_sysenter_cs(sysenter_cs);
  auto user = ScratchGuest::context();
  user.rax = ScratchGuest::kData;
  auto const exit = (*engine)->run(user);
  if (after != nullptr) {
    *after = user;
  }
  return exit;
}

TEST(Engine, SysenterFollowsItsSelector) {
  for (u64 const nothing : {u64{0}, u64{3}, u64{0xFFFF'0000}}) {
    auto const exit = run_one({0x0F, 0x34}, nothing);
    EXPECT_EQ(exit.stop, EngineStop::Fault) << nothing;
    EXPECT_EQ(exit.vector, 13u);
  }
  hal::UserContext user;
  EXPECT_EQ(run_one({0x90, 0x0F, 0x34}, 0x38, &user).stop, EngineStop::Ring0);
  EXPECT_EQ(user.rip, ScratchGuest::kCode + 1) << "where ring 3 left";
  EXPECT_EQ(run_one({0x0F, 0x35}, 0x38).vector, 13u) << "SYSEXIT is for ring 0";
}

TEST(Engine, InstructionsThatTheModelDoesNotHaveAreUndefined) {
  std::vector<std::vector<u8>> const undefined = {
      {0x66, 0x0F, 0x78, 0xC1, 0x04, 0x04},  // EXTRQ xmm1, 4, 4
      {0x66, 0x0F, 0x79, 0xC1},              // EXTRQ xmm0, xmm1
      {0xF2, 0x0F, 0x78, 0xC1, 0x04, 0x04},  // INSERTQ
      {0xF2, 0x41, 0x0F, 0x79, 0xC0},        // INSERTQ xmm0, xmm8
      {0xF3, 0x0F, 0x2B, 0x00},              // MOVNTSS [rax], xmm0
      {0xF2, 0x44, 0x0F, 0x2B, 0x00},        // MOVNTSD [rax], xmm8
      {0xC5, 0xF8, 0x77},                    // VZEROUPPER
      {0xC5, 0xFC, 0x77},                    // VZEROALL
      {0xC4, 0xE1, 0x78, 0x77},
      {0xF0, 0x0F, 0x01, 0xE0},        // LOCK SMSW
      {0x0F, 0x01, 0xC8},              // MONITOR
      {0x0F, 0x01, 0xC9},              // MWAIT
      {0x0F, 0x71, 0x17, 0x01},        // PSRLW of memory
      {0x66, 0x0F, 0x72, 0x23, 0x01},  // PSRAD of memory
      {0x66, 0x0F, 0x73, 0x1F, 0x01},  // PSRLDQ of memory
      {0x0F, 0x50, 0x03},              // MOVMSKPS of memory
      {0x0F, 0xC5, 0x03, 0x00},        // PEXTRW of memory
      {0x66, 0x0F, 0xD7, 0x03},        // PMOVMSKB of memory
      {0x66, 0x0F, 0xF7, 0x03},        // MASKMOVDQU of memory
      {0xF3, 0x0F, 0xD6, 0x03},        // MOVQ2DQ of memory
      {0xF2, 0x41, 0x0F, 0xD6, 0x03},  // MOVDQ2Q of memory
  };
  for (auto const& code : undefined) {
    auto const exit = run_one(code);
    EXPECT_EQ(exit.stop, EngineStop::Fault) << int{code[0]} << ' ' << int{code[1]};
    EXPECT_EQ(exit.vector, 6u) << int{code[0]} << ' ' << int{code[1]};
  }
}

TEST(Engine, WhatUmipAndRingThreeRefuse) {
  std::vector<std::vector<u8>> const refused = {{0x0F, 0x01, 0x00}, {0x0F, 0x01, 0x08}, {0x0F, 0x01, 0x20},
                                                {0x0F, 0x01, 0xE0}, {0x0F, 0x00, 0xC0}, {0x0F, 0x00, 0xC8},
                                                {0x0F, 0x00, 0x00}, {0x0F, 0x33},       {0x48, 0x0F, 0x01, 0xE0}};
  for (auto const& code : refused) {
    hal::UserContext user;
    auto const exit = run_one(code, 0, &user);
    EXPECT_EQ(exit.vector, 13u) << int{code[1]} << ' ' << int{code.back()};
    EXPECT_EQ(user.rip, ScratchGuest::kCode);
  }
  EXPECT_EQ(run_one({0x0F, 0x2B, 0x00}).stop, EngineStop::Syscall) << "MOVNTPS is there";
  EXPECT_EQ(run_one({0x66, 0x0F, 0x73, 0xD8, 0x01}).stop, EngineStop::Syscall) << "PSRLDQ of a register is there";
  EXPECT_EQ(run_one({0xF3, 0x0F, 0xD6, 0xD8}).stop, EngineStop::Syscall) << "MOVQ2DQ";
  EXPECT_EQ(run_one({0x66, 0x0F, 0xD6, 0x00}).stop, EngineStop::Syscall) << "MOVQ [rax], xmm0";
  EXPECT_EQ(run_one({0x0F, 0x01, 0xD0}).vector, 6u) << "XGETBV without OSXSAVE";
}

TEST(Engine, BytesInsideAnotherInstructionAreNotTouched) {
  hal::UserContext user;
  // mov rcx, imm64 whose bytes are those of MOVNTSS and VZEROUPPER
  auto const exit = run_one({0x48, 0xB9, 0xF3, 0x0F, 0x2B, 0x00, 0xC5, 0xF8, 0x77, 0x90}, 0, &user);
  EXPECT_EQ(exit.stop, EngineStop::Syscall);
  // RCX is the return address; the copy in RDX
  auto const copied = run_one({0x48, 0xB9, 0xF3, 0x0F, 0x2B, 0x00, 0xC5, 0xF8, 0x77, 0x90, 0x48, 0x89, 0xCA}, 0, &user);
  EXPECT_EQ(copied.stop, EngineStop::Syscall);
  EXPECT_EQ(user.rdx, 0x9077'F8C5'002B'0FF3u);
}

TEST(Engine, TheGateLooksAsItIs) {
  hal::UserContext user;
  // mov ecx, 0x60; lar edx, ecx
  auto const exit = run_one({0xB9, 0x60, 0x00, 0x00, 0x00, 0x0F, 0x02, 0xD1}, 0, &user);
  EXPECT_EQ(exit.stop, EngineStop::Syscall);
  EXPECT_EQ(user.rdx & 0xFFFF, 0xEC00u);
}

TEST(Engine, NoPageTableLeadsToTheEngine) {
  // Every page that was the engine's own while it was made, and what lies around it.
  for (u64 page = 0; page < 16; ++page) {
    ScratchGuest guest;
    u64 const physical = (u64{8} << 30) + page * kPageSize;
    guest.put(ScratchGuest::kTables + 0x3000 + (ScratchGuest::kAbsent >> kPageShift) * 8,
              memory::leaf_entry(physical, memory::kUserData));
    // mov rdx, [rax]; mov [rax], rcx; mov rbx, [rax]
    guest.code({0x48, 0x8B, 0x10, 0x48, 0x89, 0x08, 0x48, 0x8B, 0x18, 0x0F, 0x05});
    auto engine = guest.engine();
    ASSERT_TRUE(engine.has_value());
    (*engine)->flush_code();
    auto user = ScratchGuest::context();
    user.rax = ScratchGuest::kAbsent;
    user.rcx = 0x1122'3344'5566'7788;
    user.rdx = user.rbx = ~u64{0};
    ASSERT_EQ((*engine)->run(user).stop, EngineStop::Syscall);
    EXPECT_EQ(user.rdx, 0u) << page;
    EXPECT_EQ(user.rbx, 0u) << "writes go nowhere";
  }
}

TEST(Engine, DataSegmentsAreNewInEachEntry) {
  ScratchGuest guest;
  // mov edx, ds; shl edx, 16; mov dx, gs; xor ecx, ecx; mov ds, ecx; mov gs, ecx; syscall
  guest.code({0x8C, 0xDA, 0xC1, 0xE2, 0x10, 0x66, 0x8C, 0xEA, 0x31, 0xC9, 0x8E, 0xD9, 0x8E, 0xE9, 0x0F, 0x05});
  auto engine = guest.engine();
  ASSERT_TRUE(engine.has_value());
  for (int entry = 0; entry < 3; ++entry) {
    (*engine)->begin_entry();
    auto user = ScratchGuest::context();
    ASSERT_EQ((*engine)->run(user).stop, EngineStop::Syscall);
    EXPECT_EQ(user.rdx & 0xFFFF'FFFF, 0x0053'0053u) << entry;
  }
}

}  // namespace
}  // namespace mm::sim
