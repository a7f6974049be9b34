// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "tests/support/scripted_ring3.hpp"

namespace mm::user::test {
namespace {

using abi::DriverDefect;

struct HeapGuardTest : testing::Test {
  HeapGuardTest() {
    HobList hobs;
    hobs.add_guid_object(abi::kHeapGuardHobGuid, abi::HeapGuardOptions{1, 0});
    guard.find(hobs.finish());
  }
  u8* allocate(u64 bytes) {
    auto const block = guard.allocate(bytes);
    EXPECT_TRUE(block.has_value());
    return static_cast<u8*>(block.value_or(nullptr));
  }
  u64 overruns() {
    u64 n = 0;
    guard.for_each_overrun([&n](u64) { ++n; });
    return n;
  }

  ScriptedRing3 ring3;
  Pool<ScriptedRing3> pool{ring3};
  HeapGuard<ScriptedRing3> guard{pool};
};

TEST(HeapGuardOff, UnlessTheListSaysOtherwise) {
  ScriptedRing3 ring3;
  Pool<ScriptedRing3> pool{ring3};
  HeapGuard<ScriptedRing3> guard{pool};
  HobList hobs;
  guard.find(hobs.finish());
  EXPECT_FALSE(guard.on());
  EXPECT_FALSE(guard.copies_messages());
}

TEST_F(HeapGuardTest, BlocksLieAtTheEndAndAtTheStartOfTheirPagesInTurn) {
  EXPECT_TRUE(guard.on());
  for (u64 const bytes : {1ull, 16ull, 100ull, 4096ull, 5000ull}) {
    u64 const first = address_of(allocate(bytes));
    u64 const second = address_of(allocate(bytes));
    EXPECT_EQ(first % kPageSize, (kPageSize - align_up(bytes, 16)) % kPageSize) << bytes;
    EXPECT_EQ(second % kPageSize, 0u) << bytes;
  }
  EXPECT_NE(allocate(0), nullptr);
  EXPECT_EQ(guard.allocate(UINT64_MAX).error(), Status::OutOfResources);
}

TEST_F(HeapGuardTest, BlocksOfNothingAreFreedAsAnyOther) {
  u8* const at_end = allocate(0);
  u8* const at_start = allocate(0);
  EXPECT_EQ(overruns(), 0u);
  *at_end = 0;
  EXPECT_EQ(overruns(), 1u) << "nothing of it may be written";
  for (u8* const block : {at_end, at_start}) {
    auto const freed = guard.free(block);
    EXPECT_EQ(freed.status, Status::Success);
    EXPECT_EQ(freed.defect, std::nullopt);
  }
}

TEST_F(HeapGuardTest, NewMemoryIsToldFromWrittenMemory) {
  u8* const block = allocate(64);
  EXPECT_EQ(guard.unwritten_in(address_of(block), 64), 0u);
  std::memset(block, 0, 20);
  EXPECT_EQ(guard.unwritten_in(address_of(block), 64), 20u);
  EXPECT_FALSE(guard.unwritten_in(address_of(block), 23)) << "three bytes prove nothing";
  std::memset(block, 0x5B, 64);
  EXPECT_FALSE(guard.unwritten_in(address_of(block), 64)) << "one byte over and over";
  u8* const other = allocate(64);
  guard.see_message(address_of(other), 64);
  EXPECT_FALSE(guard.unwritten_in(address_of(other), 64)) << "a message brought it";
}

TEST_F(HeapGuardTest, WhatIsWrittenBesideABlockIsToldOnce) {
  u8* const at_end = allocate(100);
  u8* const at_start = allocate(100);
  EXPECT_EQ(overruns(), 0u);
  at_end[100] = 0;
  EXPECT_EQ(overruns(), 1u);
  EXPECT_EQ(overruns(), 0u);
  at_end[-1] = 0;
  at_start[100] = 0;
  EXPECT_EQ(overruns(), 2u);
  at_start[101] = 0;
  EXPECT_EQ(guard.free(at_start).defect, DriverDefect::Overrun);
  EXPECT_EQ(guard.free(at_end).defect, std::nullopt);
}

TEST_F(HeapGuardTest, WrongFrees) {
  u8* const block = allocate(100);
  u64 local = 0;
  for (void* const wrong : {static_cast<void*>(nullptr), static_cast<void*>(&local), static_cast<void*>(block + 1)}) {
    auto const freed = guard.free(wrong);
    EXPECT_EQ(freed.status, Status::InvalidParameter);
    EXPECT_EQ(freed.defect, DriverDefect::InvalidFree);
  }
  u64 const before = ring3.live_pages();
  EXPECT_EQ(guard.free(block).status, Status::Success);
  EXPECT_EQ(ring3.live_pages(), before - 1);
  EXPECT_EQ(guard.free(block).defect, DriverDefect::DoubleFree);
  EXPECT_EQ(guard.free_pages(address_of(&local), 1, false), DriverDefect::InvalidFree);
}

TEST_F(HeapGuardTest, WhatAFaultingAddressIs) {
  u64 const block = align_down(address_of(allocate(100)), kPageSize);
  EXPECT_FALSE(guard.defect_at(block + 10));
  EXPECT_EQ(guard.defect_at(block + kPageSize), DriverDefect::BesideBlock);
  EXPECT_EQ(guard.defect_at(block - 1), DriverDefect::BesideBlock);
  EXPECT_FALSE(guard.defect_at(0));
  u64 const message = guard.copy_message(block, 24, kPageSize);
  ASSERT_NE(message, 0u);
  EXPECT_EQ((message + 24) % kPageSize, 0u);
  EXPECT_EQ(guard.defect_at(message + 24), DriverDefect::BeyondMessage);
}

int g_handler = 0;
u64 g_buffer = 0;

Status MM_EFIAPI misbehaves(Handle, void const*, void* buffer, u64* size) {
  auto& services = Bench::current->core.services();
  g_buffer = address_of(buffer);
  if (g_handler == 1) {
    *size += 1;
  } else if (g_handler == 2) {
    void* block = nullptr;
    static_cast<void>(services.allocate_pool(kRuntimeServicesData, 64, &block));
    std::memcpy(buffer, block, 8);
  } else if (g_handler == 3) {
    static_cast<void>(services.free_pool(buffer));
  }
  return Status::Success;
}

TEST(HeapGuardCore, TellsWhatAHandlerDid) {
  auto const m = std::make_unique<Machine>();
  m->hobs.add_guid_object(abi::kHeapGuardHobGuid, abi::HeapGuardOptions{1, 0});
  ASSERT_EQ(m->boot(), Status::Success);
  Handle handle = 0;
  Guid const type = guid_of(1);
  ASSERT_EQ(m->mmst()->mmi_handler_register(misbehaves, &type, &handle), Status::Success);
  auto const defects = [&m] {
    std::vector<DriverDefect> out;
    for (Note const& note : m->ring3.notes) {
      if (note.kind == abi::UserNote::DriverDefect) {
        out.push_back(static_cast<DriverDefect>(note.a));
      }
    }
    m->ring3.notes.clear();
    return out;
  };
  g_handler = 0;
  EXPECT_EQ(m->send(type, {1, 2, 3}).return_buffer_size, 24u + 3);
  EXPECT_EQ((g_buffer + 3) % kPageSize, 0u) << "the copy ends with its page";
  EXPECT_EQ(defects(), std::vector<DriverDefect>{});
  g_handler = 1;
  EXPECT_EQ(m->send(type, {1, 2, 3}).return_buffer_size, 24u + 3) << "there is no more";
  EXPECT_EQ(defects(), std::vector{DriverDefect::ReplySize});
  g_handler = 2;
  m->send(type, std::vector<u8>(8));
  EXPECT_EQ(defects(), std::vector{DriverDefect::UnwrittenReply});
  g_handler = 3;
  m->send(type, {1});
  EXPECT_EQ(defects(), std::vector{DriverDefect::InvalidFree});
}

}  // namespace
}  // namespace mm::user::test
