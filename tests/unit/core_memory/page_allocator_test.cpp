// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/memory/page_allocator.hpp"

#include <gtest/gtest.h>

#include "core/memory/hob_list.hpp"
#include "core/memory/unblock_tracker.hpp"
#include "hal/fake/machine.hpp"

namespace mm::test {
namespace {

using memory::Owner;
using memory::PageAllocator;

constexpr u64 kBase = 0x0800'0000;
constexpr u64 kBytes = 0x40'0000;
constexpr u64 kRoot = 0x10'0000;
constexpr u64 kDescriptors = 0x20'0000;
constexpr PhysAddr kTables{kRoot};
/// Bitmaps and table pages at the start of the first region that is large enough.
constexpr u64 kBookkeeping = 3 + PageAllocator::kTablePages;

struct Allocator : ::testing::Test {
  struct Source {
    u64 next = kRoot + kPageSize;
    Expected<PhysAddr> take_page() noexcept {
      next += kPageSize;
      return PhysAddr{next - kPageSize};
    }
  };
  Allocator() {
    memory::PageTables<fake::Cpu> t(cpu, kTables);
    EXPECT_TRUE(t.set({kBase, kBytes}, memory::kSupervisorData, source));
    EXPECT_TRUE(t.set({kBase, kBytes}, {}, source));
  }
  Expected<void> adopt(std::vector<abi::MmramDescriptor> const& regions) {
    machine.memory.write(kDescriptors, std::as_bytes(std::span(regions)));
    return pages.adopt(cpu, kTables, PhysAddr{kDescriptors}, regions.size());
  }
  Expected<void> adopt_all() { return adopt({{kBase, 0, kBytes, 0}}); }
  Expected<PhysAddr> take(u64 count, Owner owner = Owner::User) { return pages.allocate(cpu, kTables, count, owner); }
  Status give(u64 base, u64 count, Owner owner = Owner::User) {
    auto const done = pages.free(cpu, kTables, base, count, owner);
    return done ? Status::Success : done.error();
  }
  auto query(u64 at) { return memory::PageTables<fake::Cpu>(cpu, kTables).query(at); }

  fake::Machine machine;
  fake::Cpu cpu{machine, 0, true};
  Source source;
  PageAllocator pages;
};

/// A stale translation would let ring 3 reach a page that was taken from it.
TEST_F(Allocator, EachChangeOfRightsFlushesTheTlb) {
  ASSERT_TRUE(adopt_all());
  u32 before = cpu.flush_count;
  auto const page = take(1);
  ASSERT_TRUE(page);
  EXPECT_GT(cpu.flush_count, before);
  before = cpu.flush_count;
  ASSERT_TRUE(pages.protect(cpu, kTables, {raw(*page), kPageSize}, memory::kUserReadOnly));
  EXPECT_GT(cpu.flush_count, before);
  before = cpu.flush_count;
  EXPECT_EQ(give(raw(*page), 1), Status::Success);
  EXPECT_GT(cpu.flush_count, before);
}

TEST_F(Allocator, NothingBeforeAdopt) {
  EXPECT_FALSE(pages.ready());
  EXPECT_EQ(take(1).error(), Status::NotReady);
  EXPECT_EQ(give(kBase, 1), Status::NotReady);
}

TEST_F(Allocator, AdoptsOnce) {
  EXPECT_TRUE(adopt_all());
  EXPECT_TRUE(pages.ready());
  EXPECT_EQ(pages.span(), (Range{kBase, kBytes}));
  EXPECT_EQ(adopt_all().error(), Status::AlreadyStarted);
}

TEST_F(Allocator, RefusesRegions) {
  EXPECT_EQ(adopt({}).error(), Status::CompromisedData);
  EXPECT_EQ(pages.adopt(cpu, kTables, PhysAddr{kDescriptors}, 2049).error(), Status::CompromisedData);
  EXPECT_EQ(adopt({{kBase, 0, 0, 0}}).error(), Status::CompromisedData);
  EXPECT_EQ(adopt({{kBase + 1, 0, kPageSize, 0}}).error(), Status::CompromisedData);
  EXPECT_EQ(adopt({{1ull << 32, 0, kPageSize, 0}}).error(), Status::CompromisedData);
  EXPECT_EQ(adopt({{kBase, 0, 1ull << 32, 0}}).error(), Status::CompromisedData);
  EXPECT_EQ(adopt({{kBase, 0, kPageSize, 0}, {kBase + 0x2000, 0, kPageSize, 0}}).error(), Status::CompromisedData);
}

TEST_F(Allocator, NoRegionIsLargeEnough) {
  EXPECT_EQ(adopt({{kBase, 0, kBookkeeping * kPageSize - kPageSize, 0}}).error(), Status::OutOfResources);
  EXPECT_EQ(adopt({{kBase, 0, kBytes, abi::kMmramAllocated}}).error(), Status::OutOfResources);
  // A region without tables of its own cannot hold them.
  EXPECT_EQ(adopt({{0x4000'0000, 0, kBytes, 0}}).error(), Status::OutOfResources);
}

TEST_F(Allocator, ByOwnerZeroedAndGivenBack) {
  ASSERT_TRUE(adopt_all());
  hal::write_object(cpu, PhysAddr{kBase + kBookkeeping * kPageSize}, u64{0x55});
  auto const user = take(2);
  ASSERT_TRUE(user);
  EXPECT_EQ(raw(*user), kBase + kBookkeeping * kPageSize);
  EXPECT_EQ(hal::read_object<u64>(cpu, *user), 0u);
  EXPECT_EQ(*query(raw(*user)), memory::kUserData);
  auto const supervisor = take(1, Owner::Supervisor);
  ASSERT_TRUE(supervisor);
  EXPECT_EQ(*query(raw(*supervisor)), memory::kSupervisorData);
  EXPECT_EQ(give(raw(*supervisor), 1), Status::SecurityViolation);
  EXPECT_EQ(give(raw(*user), 3), Status::SecurityViolation);
  EXPECT_EQ(give(raw(*user), 2, Owner::Supervisor), Status::SecurityViolation);
  hal::write_object(cpu, *user, u64{0x66});
  EXPECT_EQ(give(raw(*user), 2), Status::Success);
  EXPECT_EQ(hal::read_object<u64>(cpu, *user), 0u);
  EXPECT_FALSE(query(raw(*user)));
  EXPECT_EQ(give(raw(*user), 2), Status::InvalidParameter);
  EXPECT_EQ(raw(*take(1)), raw(*user)) << "the lowest free page comes first";
}

TEST_F(Allocator, RefusesToFree) {
  ASSERT_TRUE(adopt_all());
  EXPECT_EQ(give(kBase, 0), Status::InvalidParameter);
  EXPECT_EQ(give(kBase + 8, 1), Status::InvalidParameter);
  EXPECT_EQ(give(kBase - kPageSize, 1), Status::InvalidParameter);
  EXPECT_EQ(give(kBase, ~u64{0}), Status::SecurityViolation);
  EXPECT_EQ(give(kBase + kBytes - kPageSize, 2), Status::SecurityViolation);
  EXPECT_EQ(give(kBase, 1), Status::SecurityViolation) << "its own bookkeeping";
  EXPECT_EQ(give(kBase + kBytes - kPageSize, 1), Status::InvalidParameter);
}

TEST_F(Allocator, RunsOutAndFindsHoles) {
  ASSERT_TRUE(adopt_all());
  EXPECT_EQ(take(0).error(), Status::InvalidParameter);
  EXPECT_EQ(take(kBytes / kPageSize + 1).error(), Status::OutOfResources);
  EXPECT_EQ(take(kBytes / kPageSize).error(), Status::OutOfResources);
  u64 const all = kBytes / kPageSize - kBookkeeping;
  auto const first = take(all);
  ASSERT_TRUE(first);
  EXPECT_EQ(take(1).error(), Status::OutOfResources);
  u64 const hole = raw(*first) + 70 * kPageSize;  // over a word of the bitmap
  EXPECT_EQ(give(hole, 65), Status::Success);
  EXPECT_EQ(take(66).error(), Status::OutOfResources);
  EXPECT_EQ(raw(*take(65)), hole);
}

TEST_F(Allocator, SpreadPagesHaveFreeOnesBesideThemAndDoNotComeAgain) {
  ASSERT_TRUE(adopt_all());
  pages.spread();
  u64 last = 0;
  for (u64 const count : {1ull, 3ull, 1ull}) {
    auto const taken = take(count);
    ASSERT_TRUE(taken);
    EXPECT_GT(raw(*taken), last);
    EXPECT_FALSE(query(raw(*taken) - kPageSize));
    EXPECT_FALSE(query(raw(*taken) + count * kPageSize));
    EXPECT_EQ(give(raw(*taken), count), Status::Success);
    last = raw(*taken) + count * kPageSize;
  }
  u64 const ours = raw(*take(1, Owner::Supervisor));
  EXPECT_LT(ours, last) << "the supervisor's own lie where they always do";
}

TEST_F(Allocator, SpreadPagesTakeWhatIsThereWhenThereIsNoOther) {
  ASSERT_TRUE(adopt_all());
  pages.spread();
  u64 const all = kBytes / kPageSize - kBookkeeping;
  u64 taken = 0;
  while (take(1)) {
    ++taken;
  }
  EXPECT_EQ(taken, all);
}

TEST_F(Allocator, AllocatedRegionsStayAsTheyAre) {
  ASSERT_TRUE(adopt({{kBase, 0, 0x20'0000, 0}, {kBase + 0x20'0000, 0, 0x20'0000, abi::kMmramAllocated}}));
  EXPECT_EQ(take(0x200).error(), Status::OutOfResources);
  EXPECT_TRUE(take(0x200 - kBookkeeping));
  EXPECT_EQ(give(kBase + 0x20'0000, 1), Status::SecurityViolation);
}

TEST_F(Allocator, ProtectTakesTablesFromThePoolUntilItIsEmpty) {
  ASSERT_TRUE(adopt_all());
  u64 done = 0;
  while (pages.protect(cpu, kTables, {(done + 2) << 30, kPageSize}, memory::kUserData)) {
    ++done;
  }
  EXPECT_GT(done, PageAllocator::kTablePages / 3);
  EXPECT_LE(done, PageAllocator::kTablePages);
  EXPECT_EQ(cpu.write_windows, 0);
}

TEST(UnblockTracker, RegionsAreNotMerged) {
  memory::UnblockTracker tracker;
  EXPECT_TRUE(tracker.add({{0x1000, 0x1000}, false}));
  EXPECT_TRUE(tracker.add({{0x2000, 0x1000}, false}));
  EXPECT_TRUE(tracker.contains({0x1000, 0x1000}));
  EXPECT_FALSE(tracker.contains({0x1800, 0x1000}));
  EXPECT_FALSE(tracker.contains({0x1000, 0}));
  EXPECT_TRUE(tracker.overlaps({0x1800, 0x1000}));
  EXPECT_TRUE(tracker.overlaps({0, 0x10000}));
  EXPECT_FALSE(tracker.overlaps({0x3000, 0x1000}));
  EXPECT_TRUE(tracker.has({{0x1000, 0x1000}, false}));
  EXPECT_FALSE(tracker.has({{0x1000, 0x1000}, true}));
}

TEST(UnblockTracker, IsFull) {
  memory::UnblockTracker tracker;
  for (u64 i = 0; i < memory::UnblockTracker::kCapacity; ++i) {
    EXPECT_FALSE(tracker.full());
    EXPECT_TRUE(tracker.add({{i << kPageShift, kPageSize}, false}));
  }
  EXPECT_TRUE(tracker.full());
  EXPECT_EQ(tracker.add({{0x100'0000, kPageSize}, false}).error(), Status::OutOfResources);
}

TEST(HobList, RefusesBadLengthsAndNoEnd) {
  fake::Machine machine;
  fake::Cpu cpu(machine, 0, true);
  auto const walk = [&] {
    return memory::HobList<fake::Cpu>(cpu, PhysAddr{0x1000}).for_each([](PhysAddr, abi::HobHeader) noexcept {
      return Expected<void>{};
    });
  };
  for (u16 const length : {u16{0}, u16{7}, u16{12}}) {
    hal::write_object(cpu, PhysAddr{0x1000}, abi::HobHeader{4, length, 0});
    EXPECT_EQ(walk().error(), Status::CompromisedData);
  }
  for (u64 at = 0x1000; at < 0x1000 + memory::kHobListLimit + 0x2'0000; at += 0xFFF8) {
    hal::write_object(cpu, PhysAddr{at}, abi::HobHeader{0xFFFE, 0xFFF8, 0});
  }
  EXPECT_EQ(walk().error(), Status::CompromisedData);
  hal::write_object(cpu, PhysAddr{0x1000}, abi::HobHeader{1, 56, 0});
  hal::write_object(cpu, PhysAddr{0x1038}, abi::HobHeader{0xFFFF, 8, 0});
  EXPECT_EQ(walk().value_or(0), 64u);
}

}  // namespace
}  // namespace mm::test
