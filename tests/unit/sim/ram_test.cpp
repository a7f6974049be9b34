// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/ram.hpp"

#include <gtest/gtest.h>

#include "tests/support/simulated_world.hpp"

namespace mm::sim {
namespace {

using namespace test;

u8 first_byte(std::span<std::byte const> bytes) {
  return static_cast<u8>(*static_cast<std::byte const volatile*>(bytes.data()));
}

TEST(Ram, ExposedBytesAreTheRam) {
  Ram ram(1u << 20);
  hal::write_object(ram, PhysAddr{0x5010}, u64{0x77});
  Ram::Exposed const some(ram, {0x5010, 0x1800});
  EXPECT_EQ(some.bytes().size(), 0x1800u);
  EXPECT_EQ(first_byte(some.bytes()), 0x77u);
  hal::write_object(ram, PhysAddr{0x5010}, u64{0x78});
  EXPECT_EQ(first_byte(some.bytes()), 0x78u) << "the same memory";
}

TEST(RamDeathTest, NothingOutlivesItsExposureOrReadsBeyondIt) {
  if constexpr (!kGuardedRam) {
    GTEST_SKIP() << "only a build with sanitizers has the second mapping";
  }
  Ram ram(1u << 20);
  std::span<std::byte const> stale;
  {
    Ram::Exposed const some(ram, {0x5010, 0x100});
    stale = some.bytes();
    EXPECT_EQ(first_byte(stale), 0u);
    EXPECT_DEATH(first_byte({stale.data() + 0x100, 1}), "use-after-poison");
    EXPECT_DEATH(first_byte({stale.data() - 1, 1}), "use-after-poison");
    EXPECT_DEATH(first_byte({stale.data() + kPageSize, 1}), "SEGV");
  }
  EXPECT_DEATH(first_byte(stale), "SEGV");
}

/// What a supervisor would do that takes an address of ring 3 or of the normal world for a pointer.
TEST(RamDeathTest, GuestAddressTakenForAPointerCrashesWithItsStack) {
  if constexpr (!kGuardedRam) {
    GTEST_SKIP() << "other builds crash as well, but say nothing";
  }
  for (u64 const address : {u64{0x1'0000}, platform::kUserCommBuffer, u64{127} << 20}) {
    World w(1);
    w.body = [address](SimMachine::Cpu&) { static_cast<void>(*reinterpret_cast<u64 volatile*>(address)); };
    EXPECT_DEATH(w.machine.deliver(1), "SEGV.*[\\s\\S]*ram_test");
  }
}

}  // namespace
}  // namespace mm::sim
