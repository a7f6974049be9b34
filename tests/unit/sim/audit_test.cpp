// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/unit/sim/booted.hpp"

namespace mm::sim {
namespace {

using namespace test;
namespace pte = memory::pte;

/// Everything in MMRAM that only ring 0 may touch.
std::vector<Range> supervisor_ranges(Simulator const& sim, u32 cpus) {
  init::LoadResult const& l = sim.layout();
  std::vector<Range> out{{l.supervisor_base, l.supervisor_bytes},
                         {l.hob_list, l.hob_bytes},
                         {l.idt, kPageSize},
                         {l.idt_descriptor & ~u64{0xFFF}, kPageSize},
                         {l.gdt0, cpus * kPageSize}};
  if (l.policy != 0) {
    out.push_back({l.policy & ~u64{0xFFF}, align_up(l.policy_bytes + (l.policy & 0xFFF), kPageSize)});
  }
  for (u32 i = 0; i < cpus; ++i) {
    out.push_back({l.smbase[i], init::kTileBytes});
    out.push_back({l.ring0_stack_top[i] - init::kRing0StackBytes, init::kRing0StackBytes});
    out.push_back({l.ist_stack_top[i] - init::kIstStackBytes, init::kIstStackBytes});
  }
  for (u64 fixed : {platform::kUserCommBuffer, platform::kSupervisorCommBuffer}) {
    out.push_back({fixed, platform::kCommPages * kPageSize});
  }
  out.push_back({platform::kUserCommStatus, 2 * kPageSize});
  return out;
}

void collect_tables(Simulator const& sim, u64 table, int level, std::set<u64>& tables) {
  tables.insert(table);
  std::array<u64, 512> entries{};
  sim.peek(PhysAddr{table}, std::as_writable_bytes(std::span{entries}));
  for (u64 const entry : entries) {
    bool const leads_on = (entry & pte::kPresent) != 0 && (level == 4 || (entry & pte::kLarge) == 0);
    if (level > 1 && leads_on) {
      collect_tables(sim, entry & pte::kAddress, level - 1, tables);
    }
  }
}

/// W^X everywhere; ring 3 has no way to supervisor memory; nobody writes page tables or code.
void audit(Simulator const& sim, u32 cpus) {
  auto const ranges = supervisor_ranges(sim, cpus);
  std::set<u64> tables;
  collect_tables(sim, sim.layout().cr3, 4, tables);
  auto const map = sim.page_map();
  ASSERT_FALSE(map.empty());
  for (PageInfo const& p : map) {
    EXPECT_FALSE(p.attr.writable && p.attr.executable) << std::hex << p.addr << " is writable and executable";
    if (tables.contains(p.addr)) {
      EXPECT_FALSE(p.attr.user || p.attr.writable || p.attr.executable) << std::hex << p.addr << " is a page table";
    }
    if (p.attr.user) {
      for (Range const& r : ranges) {
        EXPECT_FALSE(r.contains({p.addr, kPageSize})) << std::hex << p.addr << " is the supervisor's";
      }
    }
  }
}

TEST(Audit, EveryMmiOfABootWithAllDriversKeepsThePagesApart) {
  constexpr u32 kCpus = 4;
  Booted b({"Hello", "Second", "HelloSupervised", "Attacker", "ApUser", "FaultAtEntry", "ErrorAtEntry", "DepexA",
            "DepexB", "Waiting"},
           "cpus = 4\nfault_policy = \"contain\"\n");
  auto const after = [&](char const* what) {
    SCOPED_TRACE(what);
    EXPECT_FALSE(b.sim->halted().has_value());
    EXPECT_TRUE(b.sim->double_fetches().empty());
    audit(*b.sim, kCpus);
  };
  after("first MMI");
  b.dispatch();
  after("dispatch");
  EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
  after("Hello");
  b.send(kApUser, std::array<u64, 3>{});
  after("procedures on the other CPUs");
  EXPECT_EQ(b.unblock(platform::kScratch, 2), 0u);
  after("unblock");
  b.send(kAttacker, std::array<u64, 3>{16, 7, 0});
  after("pages allocated and freed");
  b.send(guids::gEfiEndOfDxeEventGroupGuid, std::string_view{"\0", 1});
  after("end of DXE");
  b.send(kAttacker, std::array<u64, 3>{1, b.sim->layout().supervisor_base, 0});
  after("contained attack");
  EXPECT_EQ(text_of(b.send(kHello, "Hello")), "hELLO");
  after("Hello again");
}

}  // namespace
}  // namespace mm::sim
