// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "sim/machine/sim_machine.hpp"

namespace mm::sim::test {

inline constexpr u64 kTables = 0x1000;
inline constexpr u64 kGdt = 0x8000;
inline constexpr u64 kCode = 0x10000;
inline constexpr u64 kData = 0x20000;
inline constexpr u64 kReadOnly = 0x21000;
inline constexpr u64 kScratchPages = 0x22000;  ///< two pages, supervisor RW NX

/// A SimMachine with hand-made tables whose CPUs run `body` at each MMI.
struct World {
  explicit World(u32 cpus, u64 seed = 1, u32 smap = 0, Profile profile = Profile::Q35Tcg,
                 SaveStateLayout layout = SaveStateLayout::Amd64)
      : machine(config(cpus, seed, smap, profile, layout)) {
    auto made = machine.make_cpus({.self = this, .serve = &World::serve, .fault = &World::fault});
    EXPECT_TRUE(made.has_value());
    put(kTables, (kTables + 0x1000) | memory::pte::kTable);
    put(kTables + 0x1000, (kTables + 0x2000) | memory::pte::kTable);
    put(kTables + 0x2000, (kTables + 0x3000) | memory::pte::kTable);
    for (u64 i = 0; i < cpus; ++i) {
      u64 const gdt = kGdt + i * kPageSize;
      map(gdt, memory::kSupervisorReadOnly);
      put(gdt + 0x50, 0x00CFF3000000FFFF);
      put(gdt + 0x58, 0x00AFFB000000FFFF);
      put(gdt + 0x60, 0x0000EC0000380000);
    }
    map(kCode, memory::kUserCode);
    map(kData, memory::kUserData);
    map(kScratchPages, memory::kSupervisorData);
    map(kScratchPages + kPageSize, memory::kSupervisorData);
    map(kReadOnly, memory::kSupervisorReadOnly);
    EXPECT_TRUE(machine.place({.cr3 = kTables, .gdt0 = kGdt}).has_value());
  }
  static MachineConfig config(u32 cpus, u64 seed, u32 smap, Profile profile, SaveStateLayout layout) {
    MachineConfig c;
    c.boot.ram_bytes = 128u << 20;
    c.boot.tseg_bytes = 1u << 20;
    c.boot.cpus = cpus;
    c.boot.smap = smap;
    c.seed = seed;
    c.profile = profile;
    c.save_state = layout;
    return c;
  }
  void put(u64 at, u64 v) { hal::write_object(machine.ram(), PhysAddr{at}, v); }
  u64 get(u64 at) { return hal::read_object<u64>(machine.ram(), PhysAddr{at}); }
  void map(u64 page, memory::PageAttr attr) {
    put(kTables + 0x3000 + (page >> 12) * 8, memory::leaf_entry(page, attr));
  }
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

}  // namespace mm::sim::test
