// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/memory/hob_list.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "hal/fake/machine.hpp"

namespace mm::test {
namespace {

constexpr u64 kList = 0x10'0000;

/// A list of `count` HOBs of many lengths, and its end; where each begins.
struct List {
  List(fake::Cpu& cpu, u32 count, std::mt19937& random) {
    u64 at = kList;
    for (u32 i = 0; i < count; ++i) {
      starts.push_back(at);
      u16 const length = static_cast<u16>(8 * (1 + random() % 60));
      hal::write_object(cpu, PhysAddr{at}, abi::HobHeader{static_cast<u16>(1 + random() % 7), length, 0});
      at += length;
    }
    starts.push_back(at);
    hal::write_object(cpu, PhysAddr{at}, abi::HobHeader{static_cast<u16>(abi::HobType::EndOfHobList), 8, 0});
  }
  std::vector<u64> starts;
};

TEST(HobList, WithoutAnEndItIsRefusedWhereverItStops) {
  std::mt19937 random(962);
  for (u32 round = 0; round < 200; ++round) {
    fake::Machine machine;
    fake::Cpu cpu(machine, 0, true);
    auto const count = static_cast<u32>(1 + random() % 40);
    List const list(cpu, count, random);
    u32 seen = 0;
    auto const walk = [&] {
      seen = 0;
      return memory::HobList(cpu, PhysAddr{kList}).for_each([&](PhysAddr, abi::HobHeader const&) -> Expected<void> {
        ++seen;
        return {};
      });
    };
    ASSERT_EQ(walk(), list.starts.back() + 8 - kList);
    EXPECT_EQ(seen, count);
    // Cut at one HOB: zeros, or bytes that are no length, stand there instead of what follows.
    auto const cut = static_cast<u32>(random() % (count + 1));
    u16 const length =
        round % 3 == 0 ? 0 : static_cast<u16>(random() % 8 + 8 * (random() % 3) + (round % 3 == 1 ? 1 : 0));
    hal::write_object(cpu, PhysAddr{list.starts[cut]}, abi::HobHeader{2, length, 0});
    if (length < 8 || length % 8 != 0) {
      EXPECT_EQ(walk().error(), Status::CompromisedData);
      EXPECT_EQ(seen, cut);
    }
  }
}

TEST(HobList, OneThatNeverEndsIsLeft) {
  fake::Machine machine;
  fake::Cpu cpu(machine, 0, true);
  for (u64 at = 0; at <= memory::kHobListLimit + 0x1'0000; at += 0x8000) {
    hal::write_object(cpu, PhysAddr{kList + at}, abi::HobHeader{2, 0x8000, 0});
  }
  u64 seen = 0;
  auto const done = memory::HobList(cpu, PhysAddr{kList}).for_each([&](PhysAddr, abi::HobHeader const&) {
    ++seen;
    return Expected<void>{};
  });
  EXPECT_EQ(done.error(), Status::CompromisedData);
  EXPECT_LE(seen, memory::kHobListLimit / 0x8000 + 1);
}

}  // namespace
}  // namespace mm::test
