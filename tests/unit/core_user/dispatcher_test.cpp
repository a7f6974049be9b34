// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "tests/support/scripted_ring3.hpp"

namespace mm::user::test {
namespace {

using enum DepexOp;

/// Drivers by number: file GUID from the number, image at kBase + number * page.
struct DispatcherTest : testing::Test {
  static constexpr u64 kBase = 0x7000'0000;
  static Guid file(u32 n) {
    Guid guid = "9A3D0C11-52C0-4E6B-8B0E-000000000000"_guid;
    guid.data1 = n;
    return guid;
  }
  void add(u32 n) { hobs.add_driver(file(n), kBase + n * kPageSize); }
  void add(u32 n, Depex const& depex) {
    add(n);
    hobs.add_depex(file(n), depex.bytes);
  }
  Status run() {
    return dispatcher.run(
        [this](Driver const& driver) {
          order.push_back(driver.file.data1);
          auto const it = effects.find(driver.file.data1);
          return it == effects.end() ? Status::Success : it->second();
        },
        [this](Guid const& guid) {
          ++lookups;
          return installed.contains(guid);
        },
        [this](Driver const& driver) { failed.push_back(driver.file.data1); });
  }
  std::vector<u32> dispatch() {
    EXPECT_TRUE(dispatcher.discover(hobs.finish()).has_value());
    EXPECT_EQ(run(), Status::Success);
    return order;
  }
  ScriptedRing3 ring3;
  Pool<ScriptedRing3> pool{ring3};
  Dispatcher<ScriptedRing3> dispatcher{pool};
  HobList hobs;
  Status install(Guid const& guid) {
    installed.insert(guid);
    dispatcher.protocol_changed(guid);
    return Status::Success;
  }
  std::vector<Guid> needs(u32 n) {
    std::vector<Guid> found;
    for (u64 i = 0; i < dispatcher.count(); ++i) {
      if (dispatcher.driver(i).file.data1 == n) {
        dispatcher.for_each_need(
            dispatcher.driver(i), [this](Guid const& g) { return installed.contains(g); },
            [&](Guid const& g) { found.push_back(g); });
      }
    }
    return found;
  }
  std::set<Guid> installed;
  u64 lookups = 0;
  std::map<u32, std::function<Status()>> effects;
  std::vector<u32> order, failed;
};

using Order = std::vector<u32>;

TEST_F(DispatcherTest, NoDepexAndEmptyDepexAreTrue) {
  add(1);
  add(2, Depex{});
  hobs.add_driver(file(3), kBase);
  hobs.add_guid(guids::gMmSupervisorDepexHobGuid, std::span<std::byte const>{});
  EXPECT_EQ(dispatch(), (Order{1, 2, 3}));
}

TEST_F(DispatcherTest, SkipsTheCoresTheBrokerAndOtherAllocations) {
  hobs.add_driver(guids::gMmSupervisorCoreGuid, kBase);
  hobs.add_driver(guids::gMmSupervisorUserGuid, kBase);
  hobs.add_driver(guids::gMmSupervisorRing3BrokerGuid, kBase);
  abi::HobMemoryAllocationModule other;
  other.name = guids::gEfiHobMemoryAllocModuleGuid;
  hobs.add(other);
  EXPECT_TRUE(dispatch().empty());
  EXPECT_EQ(dispatcher.count(), 0u);
}

TEST_F(DispatcherTest, WaitsForProtocolsOverSeveralPasses) {
  add(1, Depex{}.op(Push, guid_of(2)).op(End));
  add(2, Depex{}.op(Push, guid_of(1)).op(End));
  add(3, Depex{}.op(True).op(End));
  effects[3] = [this] { return install(guid_of(1)); };
  effects[2] = [this] { return install(guid_of(2)); };
  EXPECT_EQ(dispatch(), (Order{3, 2, 1}));
  EXPECT_FALSE(dispatcher.has_remaining());
}

TEST_F(DispatcherTest, ASecondProtocolStartsTheNextScanInDiscoveryOrder) {
  add(1, Depex{}.op(Push, guid_of(1)).op(End));
  add(2, Depex{}.op(Push, guid_of(2)).op(End));
  add(3, Depex{}.op(Push, guid_of(1)).op(End));
  add(4);
  effects[4] = [this] { return install(guid_of(2)), install(guid_of(1)); };
  EXPECT_EQ(dispatch(), (Order{4, 1, 2, 3}));
}

TEST_F(DispatcherTest, AProtocolThatGoesWakesANegation) {
  Guid const gone = guid_of(1);
  install(gone);
  add(1, Depex{}.op(Push, gone).op(Not).op(End));
  add(2);
  effects[2] = [&] {
    installed.erase(gone);
    dispatcher.protocol_changed(gone);
    return Status::Success;
  };
  EXPECT_EQ(dispatch(), (Order{2, 1}));
}

TEST_F(DispatcherTest, AChainEvaluatesEachDriverTwiceAtMost) {
  constexpr u32 kCount = 1000;
  auto const link = [](u32 n) {
    Guid guid = "5B4F8C8E-2B6A-4B0B-9B7B-000000000000"_guid;
    guid.data1 = n;
    return guid;
  };
  for (u32 n = 0; n < kCount; ++n) {
    add(n, Depex{}.op(Push, link(n + 1)).op(End));
    effects[n] = [this, link, n] { return install(link(n)); };
  }
  add(kCount);
  effects[kCount] = [this, link] { return install(link(kCount)); };
  auto const result = dispatch();
  ASSERT_EQ(result.size(), kCount + 1);
  EXPECT_EQ(result[0], kCount);
  EXPECT_EQ(result[kCount], 0u);
  EXPECT_LE(lookups, 2 * kCount) << "a scan over all drivers each time would ask half a million times";
}

TEST_F(DispatcherTest, NeedsOfAWaitingDriver) {
  install(guid_of(1));
  add(1, Depex{}.op(Push, guid_of(1)).op(Push, guid_of(2)).op(And).op(Push, guid_of(3)).op(And).op(End));
  add(2, Depex{}.op(After, file(9)).op(End));
  add(3, Depex{}.op(False).op(End));
  EXPECT_TRUE(dispatch().empty());
  EXPECT_EQ(needs(1), (std::vector{guid_of(2), guid_of(3)}));
  EXPECT_EQ(needs(2), std::vector{file(9)});
  EXPECT_TRUE(needs(3).empty());
}

TEST_F(DispatcherTest, NoMemoryIsAnErrorOfDiscoveryAndNotOfTheRun) {
  for (u32 n = 0; n < 300; ++n) {
    add(n, Depex{}.op(Push, guid_of(1)).op(End));
  }
  u64 const list = hobs.finish();
  for (u64 pages = 0; pages < 60; ++pages) {
    ring3.page_limit = pages;
    if (dispatcher.discover(list).has_value()) {
      break;
    }
  }
  ASSERT_EQ(dispatcher.count(), 300u);
  ring3.page_limit = 0;
  install(guid_of(1));
  EXPECT_EQ(run(), Status::Success);
  EXPECT_EQ(order.size(), 300u);
}

TEST_F(DispatcherTest, FindsTheImageOfAnAddress) {
  add(5);
  add(1);
  add(3);
  ASSERT_TRUE(dispatcher.discover(hobs.finish()).has_value());
  for (u32 const n : {1u, 3u, 5u}) {
    ASSERT_NE(dispatcher.find_image(kBase + n * kPageSize + 0xFFF), nullptr);
    EXPECT_EQ(dispatcher.find_image(kBase + n * kPageSize)->file, file(n));
    EXPECT_EQ(dispatcher.find_image(kBase + (n + 1) * kPageSize), nullptr);
  }
  EXPECT_EQ(dispatcher.find_image(0), nullptr);
  EXPECT_EQ(dispatcher.find_image(UINT64_MAX), nullptr);
}

TEST_F(DispatcherTest, BeforeAndAfterRecursively) {
  add(10, Depex{}.op(Before, file(11)).op(End));
  add(11, Depex{}.op(Before, file(1)).op(End));
  add(12, Depex{}.op(After, file(1)).op(End));
  add(13, Depex{}.op(After, file(12)).op(End));
  add(14, Depex{}.op(Before, file(12)).op(End));
  add(1);
  EXPECT_EQ(dispatch(), (Order{10, 11, 1, 14, 12, 13}));
}

TEST_F(DispatcherTest, AssociationCyclesAreNotDispatched) {
  add(1, Depex{}.op(Before, file(2)).op(End));
  add(2, Depex{}.op(After, file(1)).op(End));
  add(3, Depex{}.op(Before, file(3)).op(End));
  add(4);
  EXPECT_EQ(dispatch(), (Order{4}));
  EXPECT_TRUE(dispatcher.has_remaining());
}

TEST_F(DispatcherTest, SameFileGuidTwiceEnds) {
  add(1);
  add(1, Depex{}.op(Before, file(1)).op(End));
  EXPECT_EQ(dispatch(), (Order{1, 1}));
}

TEST_F(DispatcherTest, LongChainNeedsNoStack) {
  constexpr u32 kCount = 1500;
  for (u32 n = kCount; n > 0; --n) {
    add(n, Depex{}.op(Before, file(n - 1)).op(End));
  }
  add(0);
  auto const result = dispatch();
  ASSERT_EQ(result.size(), kCount + 1);
  EXPECT_EQ(result.front(), kCount);
  EXPECT_EQ(result.back(), 0u);
}

TEST_F(DispatcherTest, MalformedDepexHobsAreNeverDispatched) {
  hobs.add_driver(file(1), kBase);
  hobs.add_depex(file(2), {6, 8});  // names another file
  hobs.add_driver(file(2), kBase);
  hobs.add_depex(file(2), {6, 8}, 9);  // longer than the HOB
  hobs.add_driver(file(3), kBase);
  hobs.add_depex(file(3), {6, 8}, UINT64_MAX);
  hobs.add_driver(file(4), kBase);
  hobs.add_guid_object(guids::gMmSupervisorDepexHobGuid, u64{1});  // too short for its fixed part
  EXPECT_TRUE(dispatch().empty());
  EXPECT_TRUE(dispatcher.has_remaining());
}

TEST_F(DispatcherTest, FailureIsReportedAndNotRetried) {
  add(1);
  add(2);
  effects[1] = [] { return Status::DeviceError; };
  EXPECT_EQ(dispatch(), (Order{1, 2}));
  EXPECT_EQ(failed, (Order{1}));
  EXPECT_EQ(run(), Status::Success);
  EXPECT_EQ(order.size(), 2u);
}

TEST_F(DispatcherTest, NotReentrant) {
  add(1);
  effects[1] = [this] {
    EXPECT_EQ(run(), Status::AlreadyStarted);
    return Status::Success;
  };
  EXPECT_EQ(dispatch(), (Order{1}));
}

}  // namespace
}  // namespace mm::user::test
