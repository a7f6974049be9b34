// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "core/abi/telemetry.hpp"
#include "core/memory/page_walk.hpp"
#include "tests/unit/sim/booted.hpp"

namespace mm::sim {
namespace {

using namespace test;

bool same_map(std::vector<PageInfo> const& a, std::vector<PageInfo> const& b) {
  return std::ranges::equal(a, b,
                            [](PageInfo const& x, PageInfo const& y) { return x.addr == y.addr && x.attr == y.attr; });
}

TEST(Simulator, HundredResetsGiveTheSameRepliesAndTrace) {
  Booted b({"Hello"});
  b.dispatch();
  b.sim->snapshot();
  std::vector<hal::TraceEvent> trace;
  for (int round = 0; round < 100; ++round) {
    b.sim->reset();
    EXPECT_TRUE(b.sim->trace().empty());
    EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
    EXPECT_EQ(text_of(b.send(kHello, "again")), "AGAIN");
    if (round == 0) {
      trace = b.sim->trace();
    }
    ASSERT_EQ(b.sim->trace(), trace) << "round " << round;
  }
}

TEST(Simulator, NotesThatNobodyReadsAreMadeOnlyWhereTheyAreSchedulingPoints) {
  auto const blocks = [](char const* machine, bool record) {
    Booted b({"Hello"}, machine, record);
    b.dispatch();
    u64 const before = b.sim->user_blocks();
    EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
    EXPECT_EQ(b.sim->trace().empty(), !record);
    return b.sim->user_blocks() - before;
  };
  EXPECT_LT(blocks("cpus = 1", false), blocks("cpus = 1", true));
  EXPECT_EQ(blocks("cpus = 2", false), blocks("cpus = 2", true)) << "the same run, with and without a trace";
}

/// Where the entry of the last table that maps `address` is, as the normal world reads the tables.
u64 last_entry_of(Simulator& sim, u64 address) {
  u64 table = sim.layout().cr3;
  for (unsigned level = memory::pte::kRootLevel; level != 0; --level) {
    u64 entry = 0;
    sim.read(PhysAddr{table + memory::pte::index(address, level) * 8}, std::as_writable_bytes(std::span{&entry, 1}));
    table = entry & memory::pte::kAddress;
  }
  return table + memory::pte::index(address, 0) * 8;
}

// The entry code loads CR3, so that what was written while MMRAM was open holds in the next MMI, whoever wrote it.
TEST(Simulator, TablesThatTheNormalWorldWritesHoldInTheNextMmi) {
  Booted b({"Hello"}, "defects = [\"MmramLock\"]\n");
  b.dispatch();
  EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
  for (auto const& event : b.sim->trace()) {
    auto const image = hal::as<hal::event::ImageLoaded>(event);
    if (image && image->user == 1) {
      u64 const absent = 0;
      b.sim->write(PhysAddr{last_entry_of(*b.sim, image->base + kPageSize)}, std::as_bytes(std::span{&absent, 1}));
    }
  }
  b.send(kHello, "Hello");
  EXPECT_EQ(b.sim->halted(), hal::HaltReason::UserFault);
}

TEST(Simulator, ResetUndoesPageTableChanges) {
  Booted b({"Hello", "Attacker"});
  b.dispatch();
  b.sim->snapshot();
  auto const map = b.sim->page_map();
  std::vector<hal::TraceEvent> trace;
  for (int round = 0; round < 10; ++round) {
    b.sim->reset();
    EXPECT_EQ(b.unblock(platform::kScratch, 3), 0u);
    EXPECT_EQ(b.sim->page_map().size(), map.size() + 3);
    b.sim->write(PhysAddr{platform::kScratch}, std::as_bytes(std::span{"12345678", 8}));
    EXPECT_EQ(text_of(b.send(kAttacker, std::array<u64, 3>{0, platform::kScratch, 0})).substr(0, 8), "12345678");
    b.send(kAttacker, std::array<u64, 3>{1, platform::kScratch + 8, 77});
    b.send(kAttacker, std::array<u64, 3>{16, 5, 0});
    EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
    if (round == 0) {
      trace = b.sim->trace();
    }
    ASSERT_EQ(b.sim->trace(), trace) << "round " << round;
    b.sim->reset();
    EXPECT_TRUE(same_map(b.sim->page_map(), map));
    u64 left = 1;
    b.sim->read(PhysAddr{platform::kScratch + 8}, std::as_writable_bytes(std::span{&left, 1}));
    EXPECT_EQ(left, 0u);
  }
}

TEST(Simulator, ResetRevivesAHaltedMachine) {
  Booted b({"Hello", "Attacker"});
  b.dispatch();
  b.sim->snapshot();
  for (int round = 0; round < 20; ++round) {
    b.send(kAttacker, std::array<u64, 3>{0, b.sim->layout().smbase[0], 0});
    EXPECT_EQ(b.sim->halted(), hal::HaltReason::UserFault);
    b.sim->reset();
    EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
    b.sim->reset();
  }
}

TEST(Simulator, AContainedFaultLeavesItsRecordInThePage) {
  Booted b({"Attacker", "Hello"}, "fault_policy = \"contain\"\n");
  b.dispatch();
  u64 const target = b.sim->layout().smbase[0] + 0x8000;
  b.send(kAttacker, std::array<u64, 3>{0, target, 0});
  EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
  abi::TelemetryData record;
  b.sim->peek(PhysAddr{b.sim->user_page() + abi::kContainedTelemetryOffset},
              std::as_writable_bytes(std::span{&record, 1}));
  EXPECT_EQ(record.exception_type, 14u);
  EXPECT_EQ(record.context.cr2, target);
  EXPECT_FALSE(record.driver_id.is_zero());
  EXPECT_LT(record.exception_rip - record.driver_load_address, 0x10000u);
}

TEST(Simulator, NoByteOfTheNormalWorldIsReadTwiceInAnMmi) {
  Booted b({"Hello", "ApUser"}, "cpus = 4\n");
  b.dispatch();
  EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
  b.send(kApUser, std::array<u64, 3>{});
  EXPECT_EQ(b.unblock(platform::kScratch, 1), 0u);
  for (DoubleFetch const& f : b.sim->double_fetches()) {
    ADD_FAILURE() << std::hex << f.address << ", " << f.bytes << " bytes";
  }
}

}  // namespace
}  // namespace mm::sim
