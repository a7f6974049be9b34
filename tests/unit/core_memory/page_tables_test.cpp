// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "core/memory/page_tables.hpp"
#include "tests/support/flat_memory.hpp"

namespace mm::memory {
namespace {

constexpr u64 kRoot = 0x10000;

struct Pages {
  u64 next = kRoot + kPageSize;
  u64 left = 60;
  Expected<PhysAddr> take_page() noexcept {
    if (left == 0) {
      return std::unexpected(Status::OutOfResources);
    }
    --left;
    next += kPageSize;
    return PhysAddr{next - kPageSize};
  }
};
static_assert(PageSource<Pages>);

struct PageTablesTest : testing::Test {
  test::FlatMemory memory{kRoot, 64 * kPageSize};
  Pages pages;
  PageTables<test::FlatMemory> tables{memory, PhysAddr{kRoot}};

  /// The level-1 table on the way to `address`.
  u64 level1_of(u64 address) {
    u64 table = kRoot;
    for (unsigned level = pte::kRootLevel; level > 1; --level) {
      table = memory.get<u64>(table + 8 * pte::index(address, level)) & pte::kAddress;
    }
    return table;
  }
};

TEST_F(PageTablesTest, LeafCarriesTheRightsAndTablesGrantAll) {
  ASSERT_TRUE(tables.set({0x7'FFFF'F000, 0x1000}, kUserReadOnly, pages));
  u64 table = kRoot;
  for (int shift : {39, 30, 21}) {
    u64 const entry = memory.get<u64>(table + 8 * (0x7'FFFF'F000ull >> shift & 511));
    EXPECT_EQ(entry & 0x8000'0000'0000'0FFF, pte::kTable);
    table = entry & pte::kAddress;
  }
  EXPECT_EQ(memory.get<u64>(table + 8 * 511), 0x8000'0007'FFFF'F065);
}

TEST_F(PageTablesTest, EveryAttributeReadsBack) {
  u64 at = 0x40'0000;
  for (PageAttr a : {kSupervisorData, kSupervisorReadOnly, kSupervisorCode, kUserData, kUserReadOnly, kUserCode}) {
    ASSERT_TRUE(tables.set({at, 0x2000}, a, pages));
    EXPECT_EQ(tables.query(at + 0x1FFF), a);
    EXPECT_EQ(tables.query_uniform({at + 1, 0x1FFF}), a);
    at += 0x2000;
  }
  EXPECT_EQ(tables.query(at), std::unexpected(Status::NoMapping));
  EXPECT_EQ(tables.query_uniform({0x40'1FFF, 2}), std::unexpected(Status::NoMapping));
  EXPECT_EQ(tables.query_uniform({at - 1, 2}), std::unexpected(Status::NoMapping));
}

TEST_F(PageTablesTest, UnmappingNeedsNoTable) {
  pages.left = 0;
  EXPECT_TRUE(tables.set({0x1000, 0x8000'0000}, {}, pages));
  EXPECT_EQ(memory.writes, 0u);
  EXPECT_EQ(tables.set({0x1000, 0x1000}, kUserData, pages), std::unexpected(Status::OutOfResources));
}

TEST_F(PageTablesTest, RefusesBadRanges) {
  for (Range r : {Range{1, 0x1000}, Range{0x1000, 0x800}, Range{0x1000, 0}, Range{0xFFFF'FFFF'FFFF'F000, 0x2000},
                  Range{kAddressLimit - 0x1000, 0x2000}, Range{0xFFFF'8000'0000'0000, 0x1000}}) {
    EXPECT_EQ(tables.set(r, kUserData, pages), std::unexpected(Status::InvalidParameter));
  }
  EXPECT_EQ(tables.query(0xFFFF'8000'0000'0000), std::unexpected(Status::NoMapping));
  EXPECT_EQ(tables.query_uniform({0, 0}), std::unexpected(Status::InvalidParameter));
  EXPECT_EQ(tables.query_uniform({~0ull, 2}), std::unexpected(Status::InvalidParameter));
  EXPECT_EQ(tables.query_uniform({kAddressLimit - 1, 2}), std::unexpected(Status::NoMapping));
  EXPECT_TRUE(tables.set({kAddressLimit - 0x1000, 0x1000}, kUserData, pages));
  EXPECT_EQ(tables.query(kAddressLimit - 1), kUserData);
}

TEST_F(PageTablesTest, AbsentIsWhatNoQueryFinds) {
  for (u64 const page : {0x20'0000ull, 0x3F'F000ull, 0x40'5000ull, 0x8000'0000ull, 0x7F'FFFF'F000ull}) {
    ASSERT_TRUE(tables.set({page, 0x1000}, kUserReadOnly, pages));
  }
  ASSERT_TRUE(tables.set({0x40'6000, 0x3000}, {}, pages));
  memory.put(level1_of(0x20'0000) + 8 * 7, 0x60'0000 | pte::kTable | pte::kLarge);  // 0xE0'0000, 2 MiB
  auto const slowly = [&](u64 first, u64 end) {
    for (u64 at = first; at < end; at += kPageSize) {
      if (tables.query(at)) {
        return false;
      }
    }
    return true;
  };
  u64 absent = 0;
  for (u64 first = 0x1F'E000; first < 0x103'0000; first += 0x1000) {
    for (u64 const bytes : {0x1000ull, 0x2000ull, 0x7000ull, 0x20'0000ull}) {
      bool const is = tables.is_absent({first, bytes});
      EXPECT_EQ(is, slowly(first, first + bytes)) << std::hex << first << " " << bytes;
      absent += is ? 1u : 0u;
    }
  }
  EXPECT_GT(absent, 1000u);
  EXPECT_TRUE(tables.is_absent({0x100'0000, 0x8000'0000 - 0x100'0000}));
  EXPECT_FALSE(tables.is_absent({0x100'0000, 0x8000'1000 - 0x100'0000}));
  EXPECT_TRUE(tables.is_absent({0x8000'1000, 0x7F'FFFF'F000 - 0x8000'1000}));
  EXPECT_FALSE(tables.is_absent({0x8000'1000, kAddressLimit - 0x8000'1000}));
  EXPECT_TRUE(tables.is_absent({0x80'0000'0000, kAddressLimit - 0x80'0000'0000}));
  EXPECT_FALSE(tables.is_absent({kAddressLimit - 0x1000, 0x2000})) << "beyond the lower half";
}

TEST_F(PageTablesTest, AbsentTablesAreNotWalked) {
  struct Counted {
    test::FlatMemory& memory;
    u64 reads = 0;
    u64 operator()(u64 at) noexcept {
      ++reads;
      return memory.get<u64>(at);
    }
  } load{memory};
  EXPECT_TRUE(is_absent(load, kRoot, 0, kAddressLimit));
  EXPECT_EQ(load.reads, 256u) << "one for each entry of the root";
  ASSERT_TRUE(tables.set({0x20'0000, 0x1000}, kUserData, pages));
  load.reads = 0;
  EXPECT_TRUE(is_absent(load, kRoot, 0x20'1000, 0x40'0000));
  EXPECT_EQ(load.reads, 4u + 510u) << "one way down, then the table";
}

TEST_F(PageTablesTest, ManyPagesAreWrittenAsOneByOne) {
  constexpr Range kRange{0x1F'A000, 0x45'0000};
  ASSERT_TRUE(tables.set(kRange, kUserData, pages));
  for (u64 at = kRange.base; at < kRange.end(); at += kPageSize) {
    auto const leaf = find_leaf([this](u64 entry) { return memory.get<u64>(entry); }, kRoot, at);
    ASSERT_TRUE(leaf);
    EXPECT_EQ(leaf->value, leaf_entry(at, kUserData));
  }
  EXPECT_FALSE(tables.query(kRange.base - 1) || tables.query(kRange.end()));
  EXPECT_LT(memory.writes, 32u) << "some entries at once";
  ASSERT_TRUE(tables.set({kRange.base + 0x1000, kRange.size - 0x2000}, {}, pages));
  EXPECT_EQ(tables.query(kRange.base), kUserData);
  EXPECT_EQ(tables.query(kRange.end() - 1), kUserData);
  EXPECT_TRUE(tables.is_absent({kRange.base + 0x1000, kRange.size - 0x2000}));
}

TEST_F(PageTablesTest, UpperLevelsRestrict) {
  ASSERT_TRUE(tables.set({0x20'0000, 0x1000}, PageAttr{true, true, true, true}, pages));
  u64 const pml4e = memory.get<u64>(kRoot);
  memory.put(kRoot, (pml4e & ~(pte::kUser | pte::kWritable)) | pte::kNoExecute);
  EXPECT_EQ(tables.query(0x20'0000), kSupervisorReadOnly);
}

TEST_F(PageTablesTest, SplitsLargePages) {
  ASSERT_TRUE(tables.set({0x4000'0000, 0x1000}, kUserData, pages));
  u64 const pdpt = memory.get<u64>(kRoot) & pte::kAddress;
  memory.put(pdpt + 8, 0x4000'0000 | pte::kPresent | pte::kWritable | pte::kLarge | pte::kNoExecute);
  EXPECT_EQ(tables.query(0x7FFF'FFFF), kSupervisorData);
  ASSERT_TRUE(tables.set({0x4020'1000, 0x1000}, kUserCode, pages));
  EXPECT_EQ(tables.query(0x4020'0FFF), kSupervisorData);
  EXPECT_EQ(tables.query(0x4020'1000), kUserCode);
  EXPECT_EQ(tables.query(0x4020'2000), kSupervisorData);
  EXPECT_EQ(tables.query(0x7FFF'FFFF), kSupervisorData);
}

TEST_F(PageTablesTest, LeavesAscendAndTablesAreListed) {
  ASSERT_TRUE(tables.set({0x1F'F000, 0x2000}, kSupervisorCode, pages));
  ASSERT_TRUE(tables.set({0x1000, 0x1000}, kUserData, pages));
  std::vector<u64> seen;
  tables.for_each_leaf([&](Range r, PageAttr) { seen.push_back(r.base); });
  EXPECT_EQ(seen, (std::vector<u64>{0x1000, 0x1F'F000, 0x20'0000}));
  u64 count = 0;
  tables.for_each_table([&](PhysAddr) { ++count; });
  EXPECT_EQ(count, 1 + (60 - pages.left));
}

}  // namespace
}  // namespace mm::memory
