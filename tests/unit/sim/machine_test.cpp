// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/sim_machine.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "sim/engine/fidelity.hpp"
#include "tests/support/simulated_world.hpp"

namespace mm::sim {
namespace {

using namespace test;

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

/// Who reads the shared word between the two reads of CPU 0.
std::vector<u32> readers(u64 seed) {
  World w(4, seed);
  std::vector<u32> order;
  w.body = [&order](SimMachine::Cpu& cpu) {
    for (int i = 0; i < 4; ++i) {
      (void)hal::read_object<u64>(cpu, PhysAddr{kScratchPages});
      order.push_back(cpu.index());
    }
  };
  w.machine.deliver(0xF);
  return order;
}

TEST(SimMachine, ReadingWhatTheNormalWorldCanWriteIsASchedulingPoint) {
  EXPECT_EQ(readers(7), readers(7));
  EXPECT_NE(readers(7), readers(8));
  auto const order = readers(7);
  EXPECT_FALSE(std::ranges::is_sorted(order)) << "the reads of the CPUs are mixed";
  EXPECT_EQ(order.size(), 16u);
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

void put_code(World& w, std::initializer_list<int> bytes) {
  for (u64 at = kCode; int const byte : bytes) {
    *w.machine.ram().at(at++) = static_cast<std::byte>(byte);
  }
}
hal::UserContext at_code() {
  hal::UserContext user;
  user.rip = kCode;
  return user;
}

TEST(SimMachine, RingZeroWhereThereIsNoMemoryFaults) {
  World w(1);
  u64 const hole = w.machine.ram().size();
  w.put(kTables + 0x3000 + (kData >> 12) * 8, hole | 0x8000'0000'0000'0063);
  w.body = [](SimMachine::Cpu& cpu) { (void)hal::read_object<u64>(cpu, PhysAddr{kData}); };
  w.machine.deliver(1);
  EXPECT_EQ(w.machine.halted(), hal::HaltReason::SupervisorFault);
  EXPECT_EQ(w.cr2, kData);
}

TEST(SimMachine, RegistersOfTheBorderAreMmsOwnInside) {
  constexpr std::array<u32, 9> kBorder = {0xC000'0081, 0xC000'0082, 0xC000'0083, 0xC000'0084, 0xC000'0102,
                                          0x174,       0x175,       0x176,       0x277};
  World w(1);
  auto& cpu = w.machine.cpu(0);
  for (u32 const msr : kBorder) {
    ASSERT_TRUE(cpu.normal_write_msr(msr, 0x1234'5600 + msr % 97).has_value());
  }
  bool left_out = false;
  w.body = [&](SimMachine::Cpu& c) {
    for (u32 const msr : kBorder) {
      left_out = left_out || c.read_msr(msr).value_or(0) == 0x1234'5600 + msr % 97;
      (void)c.write_msr(msr, 0x38);
    }
  };
  w.machine.deliver(1);
  EXPECT_FALSE(left_out) << "a value of the normal world holds inside MM";
  for (u32 const msr : kBorder) {
    EXPECT_EQ(cpu.normal_read_msr(msr).value_or(0), 0x1234'5600 + msr % 97) << std::hex << msr;
  }
}

TEST(SimMachine, SysenterWithASelectorIsRingZeroReached) {
  World w(1);
  put_code(w, {0x90, 0x0F, 0x34});
  w.body = [](SimMachine::Cpu& cpu) {
    (void)cpu.write_msr(0x174, 0x38);
    auto user = at_code();
    cpu.clean_user_state();
    (void)cpu.run_user(user);
    ADD_FAILURE() << "nothing runs behind it";
  };
  w.machine.deliver(1);
  ASSERT_EQ(w.machine.ring0_reached().size(), 1u);
  EXPECT_FALSE(w.machine.halted().has_value());
  bool again = false;
  w.body = [&](SimMachine::Cpu&) { again = true; };
  w.machine.deliver(1);
  EXPECT_FALSE(again);
}

TEST(SimMachine, HltInMmDoesNotWake) {
  World w(2);
  bool behind = false;
  w.body = [&](SimMachine::Cpu& cpu) {
    if (cpu.index() == 0) {
      cpu.hlt();
      behind = true;
    }
  };
  w.machine.deliver(3);
  EXPECT_FALSE(behind);
  EXPECT_TRUE(w.machine.is_in_hlt());
}

TEST(SimMachine, BudgetIsOfTheEntryNotOfTheStretchBetweenSystemCalls) {
  World w(1);
  // again: mov ecx, 1000000; turn: dec ecx; jnz turn; syscall; jmp again
  put_code(w, {0xB9, 0x40, 0x42, 0x0F, 0x00, 0xFF, 0xC9, 0x75, 0xFC, 0x0F, 0x05, 0xEB, 0xF3});
  std::array<int, 2> calls{};
  w.body = [&](SimMachine::Cpu& cpu) {
    for (int& made : calls) {
      auto user = at_code();
      cpu.clean_user_state();
      while (made < 100 && cpu.run_user(user).kind == hal::UserExitKind::Syscall) {
        ++made;
      }
    }
  };
  w.machine.deliver(1);
  EXPECT_EQ(calls, (std::array{5, 5})) << "five million blocks, and full again for the next entry";
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

/// mov [rax], rax; syscall
constexpr auto kStoreRax = {0x48, 0x89, 0x00, 0x0F, 0x05};

/// Ring 3 stores at `at`: how that ended.
hal::UserExitKind store_at(SimMachine::Cpu& cpu, u64 at) {
  auto user = at_code();
  user.rax = at;
  cpu.clean_user_state();
  return cpu.run_user(user).kind;
}

// A translation that stays over a reset writes without setting the dirty bit again.
TEST(SimMachine, EveryResetBringsBackWhatRingThreeWroteThroughTranslationsThatStayed) {
  constexpr u64 kPages = UserPages::kMostDirty + 8;
  constexpr u64 kFirst = 0x100000;
  World w(1);
  put_code(w, kStoreRax);
  for (u64 page = 0; page < kPages; ++page) {
    w.map(kFirst + page * kPageSize, memory::kUserData);
  }
  u64 pages = 0;
  w.body = [&pages](SimMachine::Cpu& cpu) {
    for (u64 page = 0; page < pages; ++page) {
      EXPECT_EQ(store_at(cpu, kFirst + page * kPageSize), hal::UserExitKind::Syscall);
    }
  };
  w.machine.snapshot();
  for (u64 const count : {u64{1}, u64{1}, u64{3}, kPages, u64{2}, kPages, kPages}) {
    pages = count;
    w.machine.deliver(1);
    for (u64 page = 0; page < kPages; ++page) {
      u64 const at = kFirst + page * kPageSize;
      EXPECT_EQ(w.get(at), page < count ? at : 0u);
    }
    w.machine.reset();
    for (u64 page = 0; page < kPages; ++page) {
      EXPECT_EQ(w.get(kFirst + page * kPageSize), 0u) << page << " of " << count;
    }
  }
}

// The entry code loads CR3: no translation is older than the MMI when the tables were edited.
TEST(SimMachine, TranslationsDoNotOutliveAnEditOfTheTablesIntoTheNextMmi) {
  constexpr u64 kOther = 0x30000;
  World w(1);
  put_code(w, kStoreRax);
  w.map(kTables + 0x3000, memory::kSupervisorReadOnly);
  u64 target = kOther;
  w.body = [&target](SimMachine::Cpu& cpu) {
    EXPECT_EQ(store_at(cpu, kData), hal::UserExitKind::Syscall);
    hal::WriteWindow window(cpu);  // and no flush behind it
    hal::write_object(cpu, PhysAddr{kTables + 0x3000 + (kData >> 12) * 8},
                      memory::leaf_entry(target, memory::kUserData));
  };
  w.machine.deliver(1);
  EXPECT_EQ(w.get(kData), kData);
  EXPECT_EQ(w.get(kOther), 0u);
  target = kData;
  w.machine.deliver(1);
  EXPECT_EQ(w.get(kOther), kData);
}

// A CPU that was inside when another one edited the tables flushes before it enters ring 3, or is told of. The next MMI
// loads CR3 and starts afresh.
TEST(SimMachine, RingThreeWithATlbOlderThanTheTablesIsTold) {
  for (bool const flushes : {true, false}) {
    World w(2);
    put_code(w, kStoreRax);
    bool edited = false;
    w.body = [&](SimMachine::Cpu& cpu) {
      if (cpu.index() == 0) {
        {
          hal::WriteWindow window(cpu);
          hal::write_object(cpu, PhysAddr{kReadOnly}, u64{1});
        }
        cpu.flush_tlb();
        edited = true;
        return;
      }
      while (!edited) {
        cpu.pause();
      }
      if (flushes) {
        cpu.flush_tlb();
      }
      EXPECT_EQ(store_at(cpu, kData), hal::UserExitKind::Syscall);
    };
    w.machine.deliver(3);
    EXPECT_EQ(w.machine.stale_entries().size(), flushes ? 0u : 1u);
    w.body = [](SimMachine::Cpu& cpu) { EXPECT_EQ(store_at(cpu, kData), hal::UserExitKind::Syscall); };
    w.machine.deliver(3);
    EXPECT_EQ(w.machine.stale_entries().size(), flushes ? 0u : 1u);
  }
}

TEST(SimMachine, RsmInRingThreeReturnsToTheNormalWorldAtOnce) {
  World w(2);
  w.machine.ram().at(kCode)[0] = std::byte{0x0F};
  w.machine.ram().at(kCode)[1] = std::byte{0xAA};
  std::array<int, 2> entries{};
  bool stay = true;
  w.body = [&](SimMachine::Cpu& cpu) {
    if (++entries[cpu.index()] == 1 && cpu.index() == 0) {
      hal::UserContext user;
      user.rip = kCode;
      cpu.run_user(user);
      ADD_FAILURE() << "came back from RSM";
    }
    while (cpu.index() != 0 && stay) {
      cpu.pause();
    }
  };
  w.machine.deliver(3);
  EXPECT_EQ(entries[0], 1);
  EXPECT_FALSE(w.machine.halted().has_value());
  stay = false;
  w.machine.deliver(3);
  EXPECT_EQ(entries[0], 2);
  EXPECT_EQ(entries[1], 1) << "never left, so it does not enter again";
  w.machine.deliver(3);
  EXPECT_EQ(entries, (std::array<int, 2>{3, 2}));
}

TEST(SimMachine, SecondReadOfNormalWorldInOneMmiIsADoubleFetch) {
  World w(1);
  w.body = [](SimMachine::Cpu& cpu) {
    (void)hal::read_object<u64>(cpu, PhysAddr{kScratchPages});
    (void)hal::read_object<u64>(cpu, PhysAddr{kScratchPages + 8});
  };
  w.machine.deliver(1);
  w.machine.deliver(1);
  EXPECT_TRUE(w.machine.fetch_log().found().empty());
  w.body = [](SimMachine::Cpu& cpu) {
    (void)hal::read_object<u64>(cpu, PhysAddr{kScratchPages});
    cpu.copy(PhysAddr{kScratchPages + kPageSize}, PhysAddr{kScratchPages + 4}, 8);
  };
  w.machine.deliver(1);
  ASSERT_EQ(w.machine.fetch_log().found().size(), 1u);
  EXPECT_EQ(w.machine.fetch_log().found()[0], (DoubleFetch{kScratchPages + 4, 4, 0}));
}

TEST(SimMachine, FidelityIdsAreUnique) {
  for (auto const& a : kFidelityGaps) {
    EXPECT_EQ(std::ranges::count(kFidelityGaps, a.id, &FidelityGap::id), 1);
  }
}

}  // namespace
}  // namespace mm::sim
