// SPDX-License-Identifier: BSD-2-Clause-Patent
// The driver Attacker at the edges of everything that the supervisor owns, wherever the loader put it.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/sim/booted.hpp"
#include "tools/lab/audit/rules.hpp"
#include "tools/lab/text/bytes.hpp"

namespace mm::sim {
namespace {

using namespace test;

enum class Attack : u64 { Read = 0, Write = 1, Execute = 2 };

struct Escape : testing::Test {
  Escape() {
    b.dispatch();
    audit::audit(audit::facts_of(*b.sim, [](Guid const& guid) { return lab::guid_name(guid); }), report);
    b.sim->snapshot();
  }
  /// The attack ends in a page fault at `address` or within the 8 bytes there, and the machine stops.
  void expect_fault(Attack attack, u64 address) {
    SCOPED_TRACE(testing::Message() << "attack " << static_cast<u64>(attack) << " at " << std::hex << address);
    b.sim->reset();
    b.send(kAttacker, std::array<u64, 3>{static_cast<u64>(attack), address, 0x4141414141414141});
    EXPECT_EQ(b.sim->halted(), hal::HaltReason::UserFault);
    auto const fault = std::ranges::find(b.sim->trace(), hal::TraceKind::Fault, &hal::TraceEvent::kind);
    ASSERT_NE(fault, b.sim->trace().end());
    EXPECT_EQ(fault->a, 14u);
    EXPECT_LT(fault->d - address, 8u);
  }

  void expect_loaded_pages_unchanged() const {
    for (u64 const page : b.sim->changed_pages()) {
      auto const region = std::ranges::find_if(
          report.regions, [page](audit::Region const& r) { return r.range.contains({page * kPageSize, kPageSize}); });
      bool const loaded = region != report.regions.end() && !region->attr.user && !region->attr.writable;
      EXPECT_FALSE(loaded && region->kind != audit::Kind::PageTable) << std::hex << page << " of " << region->owner;
    }
  }

  Booted b{{"Hello", "Attacker", "Probe"}};
  audit::Report report;
};

TEST_F(Escape, EachEdgeOfEachPartOfTheSupervisorFaults) {
  int parts = 0;
  for (auto const& region : report.regions) {
    if (region.attr.user) {
      continue;
    }
    ++parts;
    SCOPED_TRACE(region.owner);
    u64 const last = region.range.base + region.range.size - 8;
    for (u64 const at : {region.range.base, last}) {
      for (Attack const attack : {Attack::Read, Attack::Write, Attack::Execute}) {
        expect_fault(attack, at);
      }
    }
    for (u64 const across : {region.range.base - 4, last + 4}) {
      expect_fault(Attack::Write, across);
    }
  }
  EXPECT_GT(parts, 20) << "code, data, stacks, tables, buffers and save states of two CPUs";
}

TEST_F(Escape, WhatIsNobodysFaults) {
  u64 const mmram = report.mmram.base;
  u64 const behind = mmram + report.mmram.size;
  for (u64 const at : {u64{0}, mmram - 8, mmram, behind - 8, behind, behind - 4, u64{1} << 46, ~u64{7}}) {
    for (Attack const attack : {Attack::Read, Attack::Write, Attack::Execute}) {
      expect_fault(attack, at);
    }
  }
}

TEST_F(Escape, OwnPagesKeepTheirRights) {
  for (auto const& region : report.regions) {
    if (!region.attr.user) {
      continue;
    }
    SCOPED_TRACE(region.owner);
    if (!region.attr.writable) {
      expect_fault(Attack::Write, region.range.base);
    }
    if (!region.attr.executable) {
      expect_fault(Attack::Execute, region.range.base);
    }
  }
}

/// Numbers that no system call has: the gaps between those that exist, samples of the rest, and those that exist with a
/// bit more.
std::vector<u64> unknown_calls() {
  std::vector<u64> out;
  for (u64 n = 8; n < 0x10004; n += n < 0x100 ? 1 : 97) {
    out.push_back(n);
  }
  for (u64 n = 0x10007; n < 0x10100; ++n) {
    if (n != 0x1001B && n != 0x1001C && (n < 0x10021 || n > 0x10023)) {
      out.push_back(n);
    }
  }
  out.push_back(0x20001);
  for (u64 bit = 18; bit < 64; ++bit) {
    out.push_back(u64{1} << bit);
    out.push_back(u64{1} << bit | 0x10004);
  }
  return out;
}

TEST_F(Escape, EveryUnknownSystemCallIsRefused) {
  for (u64 const number : unknown_calls()) {
    b.sim->reset();
    b.send(kAttacker, std::array<u64, 3>{12, number, b.sim->layout().supervisor_base});
    EXPECT_EQ(b.sim->halted(), hal::HaltReason::SyscallRefused) << std::hex << number;
  }
}

/// System calls with arguments at the edges: whatever the answer is, what only the loader writes keeps its bytes.
TEST_F(Escape, NoSystemCallWritesForRing3) {
  constexpr Guid kProbe = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0070"_guid;
  u64 const edges[] = {0,
                       1,
                       6,
                       kPageSize,
                       ~u64{0},
                       u64{1} << 63,
                       report.mmram.base,
                       b.sim->layout().supervisor_base,
                       platform::kUserCommBuffer};
  constexpr u64 kCalls[] = {0x0,     0x1,     0x3,     0x4,     0x7,     0x10004, 0x10005,
                            0x10006, 0x1001B, 0x1001C, 0x10021, 0x10022, 0x10023};
  for (u64 const number : kCalls) {
    for (u64 const x : edges) {
      for (u64 const y : edges) {
        for (u64 const z : edges) {
          b.sim->reset();
          b.send(kProbe, std::array<u64, 6>{0, number, x, y, z, 0});
          SCOPED_TRACE(testing::Message() << std::hex << number << " " << x << " " << y << " " << z);
          expect_loaded_pages_unchanged();
        }
      }
    }
  }
}

}  // namespace
}  // namespace mm::sim
