// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <fmt/format.h>

#include <array>
#include <set>
#include <string>
#include <vector>

#include "core/init/types.hpp"
#include "sim/machine/machine.hpp"

/// What must hold of the live page tables after every MMI.
namespace mm::test {

/// Everything in MMRAM, and of the communicate buffers, that only ring 0 may touch.
inline std::vector<Range> supervisor_ranges(sim::Simulator const& sim) {
  init::LoadResult const& l = sim.layout();
  u32 const cpus = sim.config().boot.cpus;
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

/// Adds the pages of the paging structure whose top, of `level` 4, is `table`.
inline void collect_tables(sim::Simulator const& sim, u64 table, int level, std::set<u64>& tables) {
  namespace pte = memory::pte;
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

/// W^X everywhere; ring 3 has no way to supervisor memory; nobody writes page tables. Sentences, empty when it holds.
inline std::vector<std::string> audit_pages(sim::Simulator const& sim) {
  std::vector<std::string> problems;
  auto const ranges = supervisor_ranges(sim);
  std::set<u64> tables;
  collect_tables(sim, sim.layout().cr3, 4, tables);
  auto const map = sim.page_map();
  if (map.empty()) {
    problems.emplace_back("no page is present");
  }
  for (sim::PageInfo const& p : map) {
    if (p.attr.writable && p.attr.executable) {
      problems.push_back(fmt::format("{:#x} is writable and executable", p.addr));
    }
    if (tables.contains(p.addr) && (p.attr.user || p.attr.writable || p.attr.executable)) {
      problems.push_back(fmt::format("{:#x} is a page table and more than read-only", p.addr));
    }
    for (Range const& r : ranges) {
      if (p.attr.user && r.contains({p.addr, kPageSize})) {
        problems.push_back(fmt::format("{:#x} is the supervisor's and ring 3 can reach it", p.addr));
      }
    }
  }
  return problems;
}

}  // namespace mm::test
