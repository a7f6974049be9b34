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
      auto const type = static_cast<abi::HobType>(1 + random() % 7);
      u16 const length = static_cast<u16>(abi::least_hob_bytes(type) + 8 * (random() % 60));
      hal::write_object(cpu, PhysAddr{at}, abi::HobHeader{static_cast<u16>(type), length, 0});
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

constexpr abi::HobType kTypes[] = {abi::HobType::Handoff,
                                   abi::HobType::MemoryAllocation,
                                   abi::HobType::ResourceDescriptor,
                                   abi::HobType::GuidExtension,
                                   abi::HobType::Fv,
                                   abi::HobType::Cpu,
                                   abi::HobType::ResourceDescriptor2,
                                   abi::HobType::Unused,
                                   abi::HobType{0x1234}};

/// What the first step of a walk over `limit` bytes says of one header.
std::expected<abi::HobStep, abi::HobError> first(abi::HobType type, u64 length, u64 limit) {
  abi::HobWalk walk([&](u64) noexcept { return abi::HobHeader{static_cast<u16>(type), static_cast<u16>(length), 0}; },
                    limit);
  return walk.next();
}

TEST(HobWalk, ALengthBelowWhatTheTypeTakesIsRefused) {
  for (abi::HobType const type : kTypes) {
    u64 const least = abi::least_hob_bytes(type);
    for (u64 length = 0; length < least; ++length) {
      EXPECT_EQ(first(type, length, 0x1000).error().fault, abi::HobFault::Length) << length;
    }
    EXPECT_TRUE(first(type, least, 0x1000).has_value());
  }
}

TEST(HobWalk, ALengthThatIsNoMultipleOfEightIsRefused) {
  for (abi::HobType const type : kTypes) {
    for (u64 odd = 1; odd < 8; ++odd) {
      EXPECT_EQ(first(type, abi::least_hob_bytes(type) + odd, 0x1000).error().fault, abi::HobFault::Length);
    }
  }
}

TEST(HobWalk, AHobBeyondTheLimitIsTruncated) {
  EXPECT_EQ(first(abi::HobType::Unused, 16, 15).error().fault, abi::HobFault::Truncated);
  EXPECT_TRUE(first(abi::HobType::Unused, 16, 16).has_value());
  EXPECT_EQ(first(abi::HobType::Unused, 0xFFF8, 0xFFF7).error().fault, abi::HobFault::Truncated);
}

TEST(HobWalk, AHeaderBeyondTheLimitIsNotRead) {
  for (u64 limit = 0; limit < sizeof(abi::HobHeader); ++limit) {
    bool read = false;
    abi::HobWalk walk(
        [&read](u64) noexcept {
          read = true;
          return abi::HobHeader{};
        },
        limit);
    EXPECT_EQ(walk.next().error().fault, abi::HobFault::Truncated);
    EXPECT_FALSE(read) << limit;
  }
}

TEST(HobWalk, EachHeaderIsReadOnceAndTheWalkStaysAtTheEnd) {
  std::vector<u64> reads;
  abi::HobWalk walk(
      [&reads](u64 offset) noexcept {
        reads.push_back(offset);
        return abi::HobHeader{static_cast<u16>(offset == 24 ? abi::HobType::EndOfHobList : abi::HobType::Unused), 8, 0};
      },
      64);
  for (u64 at : {u64{0}, u64{8}, u64{16}, u64{24}, u64{24}}) {
    auto const step = walk.next();
    ASSERT_TRUE(step.has_value());
    EXPECT_EQ(step->offset, at);
    EXPECT_EQ(step->is_end(), at == 24);
  }
  EXPECT_EQ(reads, (std::vector<u64>{0, 8, 16, 24, 24}));
}

/// What a header says never leads outside the limit, whatever it says.
TEST(HobWalk, NoWalkLeavesItsLimit) {
  std::mt19937 random(7);
  for (u32 round = 0; round < 2000; ++round) {
    u64 const limit = random() % 0x400;
    abi::HobWalk walk(
        [&](u64 offset) noexcept {
          EXPECT_LE(offset + sizeof(abi::HobHeader), limit);
          return abi::HobHeader{static_cast<u16>(random() % 8), static_cast<u16>(8 * (random() % 16)), 0};
        },
        limit);
    for (u32 steps = 0; walk.next().has_value(); ++steps) {
      ASSERT_LE(walk.position(), limit);
      ASSERT_LT(steps, 0x100u);
    }
  }
}

}  // namespace
}  // namespace mm::test
