// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/sim_machine.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "sim/engine/fidelity.hpp"

namespace mm::sim {
namespace {

namespace pte = memory::pte;
constexpr u64 kTables = 0x1000;
constexpr u64 kGdt = 0x8000;
constexpr u64 kCode = 0x10000;
constexpr u64 kData = 0x20000;
constexpr u64 kReadOnly = 0x21000;

/// A SimMachine with hand-made tables whose CPUs run `body` at each MMI.
struct World {
  explicit World(u32 cpus, u64 seed = 1, u32 smap = 0) : machine(config(cpus, seed, smap)) {
    auto made = machine.make_cpus({.self = this, .serve = &World::serve, .fault = &World::fault});
    EXPECT_TRUE(made.has_value());
    put(kTables, (kTables + 0x1000) | pte::kTable);
    put(kTables + 0x1000, (kTables + 0x2000) | pte::kTable);
    put(kTables + 0x2000, (kTables + 0x3000) | pte::kTable);
    for (u64 i = 0; i < cpus; ++i) {
      u64 const gdt = kGdt + i * kPageSize;
      map(gdt, memory::kSupervisorReadOnly);
      put(gdt + 0x50, 0x00CFF3000000FFFF);
      put(gdt + 0x58, 0x00AFFB000000FFFF);
      put(gdt + 0x60, 0x0000EC0000380000);
    }
    map(kCode, memory::kUserCode);
    map(kData, memory::kUserData);
    map(kReadOnly, memory::kSupervisorReadOnly);
    EXPECT_TRUE(machine.place({.cr3 = kTables, .gdt0 = kGdt}).has_value());
  }
  static MachineConfig config(u32 cpus, u64 seed, u32 smap) {
    MachineConfig c;
    c.boot.ram_bytes = 128u << 20;
    c.boot.tseg_bytes = 1u << 20;
    c.boot.cpus = cpus;
    c.boot.smap = smap;
    c.seed = seed;
    return c;
  }
  void put(u64 at, u64 v) { hal::write_object(machine.ram(), PhysAddr{at}, v); }
  u64 get(u64 at) { return hal::read_object<u64>(machine.ram(), PhysAddr{at}); }
  void map(u64 page, memory::PageAttr attr) { put(kTables + 0x3000 + (page >> 12) * 8, memory::leaf_entry(page, attr)); }
  static void serve(void* self, SimMachine::Cpu& cpu, u32) { static_cast<World*>(self)->body(cpu); }
  static void fault(void* self, SimMachine::Cpu&, u64, u64 error, u64, u64 cr2) {
    static_cast<World*>(self)->error = error;
    static_cast<World*>(self)->cr2 = cr2;
  }

  SimMachine machine;
  std::function<void(SimMachine::Cpu&)> body;
  u64 error = ~u64{0};
  u64 cr2 = 0;
};

std::vector<u32> schedule(u64 seed) {
  World w(4, seed);
  std::vector<u32> order;
  w.body = [&order](SimMachine::Cpu& cpu) {
    for (int i = 0; i < 20; ++i) {
      order.push_back(cpu.index());
      cpu.pause();
    }
  };
  w.machine.deliver(0xF);
  EXPECT_EQ(order.size(), 80u);
  return order;
}

TEST(SimMachine, SameSeedSameSchedule) {
  EXPECT_EQ(schedule(7), schedule(7));
  EXPECT_NE(schedule(7), schedule(8));
}

TEST(SimMachine, WriteToReadOnlyPageHaltsUnlessWpIsOff) {
  World w(1);
  w.body = [](SimMachine::Cpu& cpu) {
    hal::WriteWindow window(cpu);
    hal::write_object(cpu, PhysAddr{kReadOnly}, u64{5});
  };
  w.machine.deliver(1);
  EXPECT_FALSE(w.machine.halted().has_value());
  EXPECT_EQ(w.get(kReadOnly), 5u);
  w.body = [](SimMachine::Cpu& cpu) { hal::write_object(cpu, PhysAddr{kReadOnly}, u64{6}); };
  w.machine.deliver(1);
  EXPECT_EQ(w.machine.halted(), hal::HaltReason::SupervisorFault);
  EXPECT_EQ(w.error, 3u);
  EXPECT_EQ(w.cr2, kReadOnly);
  EXPECT_EQ(w.get(kReadOnly), 5u);
}

TEST(SimMachine, UserPageNeedsAWindowUnderSmap) {
  World w(1, 1, 1);
  w.body = [](SimMachine::Cpu& cpu) {
    {
      hal::UserAccess window(cpu);
      (void)hal::read_object<u64>(cpu, PhysAddr{kData});
    }
    (void)hal::read_object<u64>(cpu, PhysAddr{kData});
  };
  w.machine.deliver(1);
  EXPECT_TRUE(w.machine.halted().has_value());
  EXPECT_EQ(w.error, 1u);
}

TEST(SimMachine, AbsentPageFaults) {
  World w(1);
  w.body = [](SimMachine::Cpu& cpu) { (void)hal::read_object<u64>(cpu, PhysAddr{0x50000}); };
  w.machine.deliver(1);
  EXPECT_EQ(w.error, 0u);
  EXPECT_EQ(w.cr2, 0x50000u);
}

TEST(SimMachine, ResetBringsBackHostAndRingThreeWritesAndRevives) {
  World w(1);
  // mov [rax], rax; syscall
  for (u64 i = 0; int b : {0x48, 0x89, 0x00, 0x0F, 0x05}) {
    *w.machine.ram().at(kCode + i++) = static_cast<std::byte>(b);
  }
  w.body = [](SimMachine::Cpu& cpu) {
    hal::write_object(cpu, PhysAddr{kData + 64}, u64{9});
    hal::UserContext user;
    user.rip = kCode;
    user.rax = kData;
    EXPECT_EQ(cpu.run_user(user).kind, hal::UserExitKind::Syscall);
    EXPECT_EQ(user.rip, kCode + 5);
  };
  w.machine.snapshot();
  for (int round = 0; round < 3; ++round) {
    w.machine.deliver(1);
    EXPECT_EQ(w.get(kData), kData);
    EXPECT_EQ(w.get(kData + 64), 9u);
    w.machine.reset();
    EXPECT_EQ(w.get(kData), 0u);
    EXPECT_EQ(w.get(kData + 64), 0u);
  }
  auto const good = w.body;
  w.body = [&w](SimMachine::Cpu&) { w.machine.halt(hal::HaltReason::UserFault); };
  w.machine.deliver(1);
  EXPECT_TRUE(w.machine.halted().has_value());
  w.machine.reset();
  EXPECT_FALSE(w.machine.halted().has_value());
  w.body = good;
  w.machine.deliver(1);
  EXPECT_EQ(w.get(kData), kData);
}

TEST(SimMachine, FidelityIdsAreUnique) {
  for (auto const& a : kFidelityGaps) {
    EXPECT_EQ(std::ranges::count(kFidelityGaps, a.id, &FidelityGap::id), 1);
  }
}

}  // namespace
}  // namespace mm::sim
