// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/supervisor/address_space.hpp"

#include <gtest/gtest.h>

#include "tests/unit/core_supervisor/part.hpp"

namespace mm::test {
namespace {

using supervisor::Access;
using supervisor::Check;

constexpr u64 kUserPage = 0x20'0000;   ///< of ring 3, in memory that nobody allocated
constexpr u64 kReadOnly = 0x20'1000;   ///< the page behind it
constexpr u64 kRing0 = 0x20'2000;      ///< and one of ring 0
constexpr u64 kOutside = 0x4000'0000;  ///< not mapped

struct AddressSpaceTest : ::testing::Test, Part {
  AddressSpaceTest() {
    map(kUserPage, kPageSize, memory::kUserData);
    map(kReadOnly, kPageSize, memory::kUserReadOnly);
    map(kRing0, kPageSize, memory::kSupervisorData);
    map(kMmram, kMmramBytes, memory::kSupervisorData);
    map(kMmram, kMmramBytes, {});
    put(kDescriptors, abi::MmramDescriptor{kMmram, kMmram, kMmramBytes, 0});
    space.adopt_tables(cpu);
    EXPECT_TRUE(space.adopt_mmram(cpu, PhysAddr{kDescriptors}, 1));
  }
  bool claims(u64 at, u64 bytes, Access access = Access::Read) {
    return space.claim(here, UserAddr{at}, bytes, access).has_value();
  }
  Status open(u64 base, u64 bytes, bool supervisor = false) {
    auto const done = space.open(cpu, {base, bytes}, supervisor);
    return done ? Status::Success : done.error();
  }
  auto rights(u64 at) { return space.tables(cpu).query(at); }

  static constexpr u64 kDescriptors = 0x8000;
  supervisor::AddressSpace<fake::Machine> space;
};

TEST_F(AddressSpaceTest, ClaimsOnlyWhatIsRing3s) {
  EXPECT_TRUE(claims(kUserPage, kPageSize));
  EXPECT_TRUE(claims(kReadOnly + 8, 8));
  EXPECT_FALSE(claims(kUserPage + kPageSize - 4, 8)) << "two pages with different rights";
  EXPECT_FALSE(claims(kReadOnly, 8, Access::Write));
  EXPECT_FALSE(claims(kRing0, 8));
  EXPECT_FALSE(claims(kReadOnly, kPageSize + 1)) << "the page behind it is ring 0's";
  EXPECT_FALSE(claims(kOutside, 8)) << "not mapped";
  EXPECT_FALSE(claims(kUserPage, 0)) << "empty";
  EXPECT_FALSE(claims(8, 8)) << "null page";
  EXPECT_FALSE(claims(~u64{0} - 3, 8)) << "wraps";
}

TEST_F(AddressSpaceTest, ARemovedCheckClaimsAnything) {
  machine.defects = supervisor::bit_of(Check::UserPointer);
  EXPECT_TRUE(claims(kRing0, 8, Access::Write));
}

TEST_F(AddressSpaceTest, AClaimedRangeIsWrittenInsideAWindow) {
  auto const range = space.claim(here, UserAddr{kUserPage + 8}, 8, Access::Write);
  ASSERT_TRUE(range);
  EXPECT_EQ(range->base(), kUserPage + 8);
  EXPECT_EQ(range->bytes(), 8u);
  u64 const value = 0x1122'3344'5566'7788;
  range->write(cpu, std::as_bytes(std::span(&value, 1)));
  EXPECT_EQ(get<u64>(kUserPage + 8), value);
  EXPECT_EQ(cpu.user_access, 0);
}

TEST_F(AddressSpaceTest, AnEditLeavesNoWindowAndFlushes) {
  u32 const before = cpu.flush_count;
  ASSERT_TRUE(space.allocate(cpu, 1, memory::Owner::User));
  EXPECT_GT(cpu.flush_count, before);
  EXPECT_EQ(cpu.write_windows, 0);
}

TEST_F(AddressSpaceTest, Ring3FreesWhatItGot) {
  auto const page = space.allocate(cpu, 2, memory::Owner::User);
  ASSERT_TRUE(page);
  EXPECT_TRUE(space.free_user(here, {raw(*page), 2 * kPageSize}));
  EXPECT_FALSE(rights(raw(*page)));
}

TEST_F(AddressSpaceTest, NotWhatItWasLent) {
  auto const page = space.lend(cpu, 2);
  ASSERT_TRUE(page);
  auto const refused = space.free_user(here, {raw(*page) + kPageSize, kPageSize});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), Status::SecurityViolation);
  machine.defects = supervisor::bit_of(Check::FreePageOwner);
  EXPECT_TRUE(space.free_user(here, {raw(*page) + kPageSize, kPageSize}));
}

TEST_F(AddressSpaceTest, NotWhatIsRing0s) {
  auto const page = space.allocate(cpu, 1, memory::Owner::Supervisor);
  ASSERT_TRUE(page);
  auto const refused = space.free_user(here, {raw(*page), kPageSize});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), Status::SecurityViolation);
}

TEST_F(AddressSpaceTest, LendsThreeTimes) {
  for (u32 i = 0; i < 3; ++i) {
    EXPECT_TRUE(space.lend(cpu, 1));
  }
  auto const refused = space.lend(cpu, 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), Status::OutOfResources);
}

TEST_F(AddressSpaceTest, OpensARegionForRing3OrRing0) {
  EXPECT_EQ(open(kOutside, kPageSize), Status::Success);
  EXPECT_EQ(*rights(kOutside), memory::kUserData);
  EXPECT_EQ(open(kOutside + kPageSize, kPageSize, true), Status::Success);
  EXPECT_EQ(*rights(kOutside + kPageSize), memory::kSupervisorData);
  EXPECT_TRUE(space.is_open_to_user(here, UserAddr{kOutside}, kPageSize));
  EXPECT_FALSE(space.is_open_to_user(here, UserAddr{kOutside}, kPageSize + 1));
  EXPECT_FALSE(space.is_open_to_user(here, UserAddr{kOutside + kPageSize}, 8)) << "ring 0's";
  EXPECT_FALSE(space.is_open_to_user(here, UserAddr{kUserPage}, 8)) << "never opened";
}

TEST_F(AddressSpaceTest, TheSameRegionTwiceIsOneRegion) {
  EXPECT_EQ(open(kOutside, kPageSize), Status::Success);
  EXPECT_EQ(open(kOutside, kPageSize), Status::Success);
  EXPECT_EQ(open(kOutside, kPageSize, true), Status::SecurityViolation) << "with other rights";
}

TEST_F(AddressSpaceTest, WhatIsNotOpened) {
  EXPECT_EQ(open(0, kPageSize), Status::SecurityViolation) << "null page";
  EXPECT_EQ(open(kUserPage, kPageSize), Status::SecurityViolation) << "mapped";
  EXPECT_EQ(open(kRing0 + kPageSize - kPageSize, 2 * kPageSize), Status::SecurityViolation) << "partly mapped";
  EXPECT_EQ(open(memory::kAddressLimit, kPageSize), Status::InvalidParameter) << "beyond the CPU";
  EXPECT_EQ(open(kOutside, 1ull << 40), Status::OutOfResources) << "more than the tables could map";
  EXPECT_EQ(open(kOutside, 0x800'0000), Status::OutOfResources) << "no table page left";
  EXPECT_FALSE(rights(kOutside)) << "all or nothing";
}

TEST_F(AddressSpaceTest, TheTrackerHasAnEnd) {
  for (u64 i = 0; i < memory::UnblockTracker::kCapacity; ++i) {
    ASSERT_EQ(open(kOutside + 2 * i * kPageSize, kPageSize), Status::Success);
  }
  EXPECT_EQ(open(kOutside + 0x20'0000, kPageSize), Status::OutOfResources);
  EXPECT_FALSE(rights(kOutside + 0x20'0000));
}

TEST_F(AddressSpaceTest, ClosesWhatWasOpened) {
  EXPECT_EQ(open(kOutside, 2 * kPageSize, true), Status::Success);
  space.close(cpu, {kOutside, 2 * kPageSize});
  EXPECT_FALSE(rights(kOutside + kPageSize));
}

TEST_F(AddressSpaceTest, ARegionOfTheLoaderIsTrackedOrOpened) {
  auto const adopt = [&](u64 base, u64 attribute) {
    abi::MemoryDescriptor d;
    d.physical_start = base;
    d.number_of_pages = 1;
    d.attribute = attribute;
    auto const done = space.adopt_region(cpu, d);
    return done ? Status::Success : done.error();
  };
  EXPECT_EQ(adopt(kUserPage, 0), Status::Success);
  EXPECT_TRUE(space.is_open_to_user(here, UserAddr{kUserPage}, kPageSize));
  EXPECT_EQ(adopt(kReadOnly, 0), Status::SecurityViolation) << "mapped with other rights";
  EXPECT_EQ(adopt(kRing0, abi::kMemorySp), Status::Success);
  EXPECT_EQ(adopt(kOutside, 0), Status::Success);
  EXPECT_EQ(*rights(kOutside), memory::kUserData);
}

TEST_F(AddressSpaceTest, ReportsRunsOfEqualRights) {
  using hal::event::MemoryMap;
  space.report(here);
  auto const told = this->told<MemoryMap>();
  ASSERT_GE(told.size(), 3u);
  EXPECT_EQ(told[0].base, kUserPage);
  EXPECT_EQ(told[0].bytes, kPageSize);
  EXPECT_EQ(told[0].rights, MemoryMap::kWritable | MemoryMap::kUser);
  EXPECT_EQ(told[1].rights, MemoryMap::kUser);
  EXPECT_EQ(told[2].rights, MemoryMap::kWritable);
}

}  // namespace
}  // namespace mm::test
