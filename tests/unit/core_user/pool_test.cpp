// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <random>

#include "tests/support/scripted_ring3.hpp"

namespace mm::user::test {
namespace {

struct PoolTest : testing::Test {
  ScriptedRing3 ring3;
  Pool<ScriptedRing3> pool{ring3};
};

TEST_F(PoolTest, BlocksAreAlignedDistinctAndWritable) {
  std::set<u64> seen;
  for (u64 bytes : {0ull, 1ull, 16ull, 100ull, 1000ull, 2016ull, 2017ull, 5000ull, 70000ull}) {
    auto const block = pool.allocate(bytes);
    ASSERT_TRUE(block.has_value()) << bytes;
    EXPECT_EQ(address_of(*block) % 16, 0u);
    std::memset(*block, 0x11, bytes);
    EXPECT_TRUE(seen.insert(address_of(*block)).second);
  }
}

TEST_F(PoolTest, FreedSmallBlockIsPoisonedAndReused) {
  auto const block = pool.allocate(100);
  std::memset(*block, 0, 100);
  ASSERT_TRUE(pool.free(*block).has_value());
  EXPECT_EQ(static_cast<u8*>(*block)[50], Pool<ScriptedRing3>::kPoison);
  EXPECT_EQ(*pool.allocate(120), *block);
}

TEST_F(PoolTest, LargeBlockGivesItsPagesBack) {
  auto const keep = pool.allocate(1);
  ASSERT_TRUE(keep.has_value());
  u64 const before = ring3.live_pages();
  auto const block = pool.allocate(100000);
  ASSERT_TRUE(block.has_value());
  EXPECT_GT(ring3.live_pages(), before);
  ASSERT_TRUE(pool.free(*block).has_value());
  EXPECT_EQ(ring3.live_pages(), before);
  EXPECT_EQ(pool.free(*block).error(), Status::InvalidParameter);
}

TEST_F(PoolTest, RefusesForeignMisalignedAndDoubleFree) {
  auto const block = pool.allocate(100);
  ASSERT_TRUE(block.has_value());
  u64 local = 0;
  EXPECT_EQ(pool.free(nullptr).error(), Status::InvalidParameter);
  EXPECT_EQ(pool.free(&local).error(), Status::InvalidParameter);
  EXPECT_EQ(pool.free(at<void>(0xFFFF'8000'0000'0000)).error(), Status::InvalidParameter);
  EXPECT_EQ(pool.free(static_cast<u8*>(*block) + 16).error(), Status::InvalidParameter);
  EXPECT_TRUE(pool.free(*block).has_value());
  EXPECT_EQ(pool.free(*block).error(), Status::InvalidParameter);
}

TEST_F(PoolTest, AbsurdSizesAndNoPagesAreOutOfResources) {
  EXPECT_EQ(pool.allocate(UINT64_MAX).error(), Status::OutOfResources);
  EXPECT_EQ(pool.allocate(UINT64_MAX - 31).error(), Status::OutOfResources);
  EXPECT_EQ(pool.allocate(1ull << 40).error(), Status::OutOfResources);
  EXPECT_EQ(ring3.count(abi::Syscall::AllocPage), 0u) << "absurd requests do not reach ring 0";
  ring3.page_limit = 1;
  EXPECT_EQ(pool.allocate(1).error(), Status::OutOfResources);  // one page for the block, none for the registry
  EXPECT_EQ(ring3.live_pages(), 0u);
}

TEST_F(PoolTest, AnOverrunIntoAFreeBlockIsNotFollowed) {
  auto const first = pool.allocate(32);
  ASSERT_TRUE(first.has_value());
  std::memset(*first, 0x41, 128);  // into the next block of 64 bytes, which is free: its header and its link
  std::set<u64> seen;
  for (int i = 0; i < 200; ++i) {
    auto const block = pool.allocate(32);
    ASSERT_TRUE(block.has_value());
    std::memset(*block, 0, 32);
    EXPECT_TRUE(seen.insert(address_of(*block)).second);
  }
}

TEST_F(PoolTest, RecordsTheOwner) {
  auto const block = pool.allocate(8, 0x1234000);
  EXPECT_EQ(pool.owner_of(*block), 0x1234000u);
  ASSERT_TRUE(pool.free(*block).has_value());
  EXPECT_EQ(pool.owner_of(*block).error(), Status::NotFound);
}

TEST_F(PoolTest, RandomWorkloadKeepsContents) {
  std::mt19937 random(7);
  std::map<u8*, std::pair<u64, u8>> live;
  for (int i = 0; i < 4000; ++i) {
    if (live.size() < 200 && random() % 3 != 0) {
      u64 const bytes = random() % 5000;
      auto const block = pool.allocate(bytes);
      ASSERT_TRUE(block.has_value());
      auto const fill = static_cast<u8>(random());
      std::memset(*block, fill, bytes);
      live[static_cast<u8*>(*block)] = {bytes, fill};
    } else if (!live.empty()) {
      auto it = live.begin();
      std::advance(it, static_cast<long>(random() % live.size()));
      for (u64 k = 0; k < it->second.first; ++k) {
        ASSERT_EQ(it->first[k], it->second.second);
      }
      ASSERT_TRUE(pool.free(it->first).has_value());
      live.erase(it);
    }
  }
}

TEST_F(PoolTest, ReservedVectorNeedsNoMoreMemory) {
  PoolVector<u64, ScriptedRing3> list{pool};
  ASSERT_TRUE(list.push_back(1).has_value());
  ASSERT_TRUE(list.reserve(5000).has_value());
  ring3.page_limit = 0;
  for (u64 i = 1; i < 5000; ++i) {
    ASSERT_TRUE(list.push_back(i).has_value());
  }
  EXPECT_EQ(list[0], 1u);
  EXPECT_EQ(list.push_back(0).error(), Status::OutOfResources);
  EXPECT_EQ(list.reserve(UINT64_MAX).error(), Status::OutOfResources);
}

TEST_F(PoolTest, VectorGrowsPastAPageAndKeepsOrder) {
  PoolVector<u64, ScriptedRing3> list{pool};
  for (u64 i = 0; i < 3000; ++i) {
    ASSERT_TRUE(list.push_back(i).has_value());
  }
  list.erase_if([](u64 v) { return v % 2 == 1; });
  ASSERT_EQ(list.size(), 1500u);
  list.erase(0);
  EXPECT_EQ(list[0], 2u);
  EXPECT_EQ(list[1498], 2998u);
}

}  // namespace
}  // namespace mm::user::test
