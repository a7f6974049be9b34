// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "core/communication/communicator.hpp"
#include "tests/unit/sim/booted.hpp"
#include "tools/lab/run/backend.hpp"

namespace mm::sim {
namespace {

using namespace test;

TEST(Rsm, InRingThreeLeavesMmAndTheNextMmiHalts) {
  for (u32 cpus : {1u, 2u, 4u}) {
    Booted b({"RsmDriver"}, "cpus = " + std::to_string(cpus) + "\n");
    b.dispatch();
    Reply const reply = b.send(kRsmDriver, "leave");
    EXPECT_EQ(reply.pending, 1u) << "nobody finished the message";
    EXPECT_FALSE(b.sim->halted().has_value());
    b.send(kRsmDriver, "again");
    EXPECT_EQ(b.sim->halted(), hal::HaltReason::RsmBreach);
  }
}

TEST(Rsm, QemuDoesTheSame) {
  if (auto const why = lab::qemu().unavailable(MM_TEST_IMAGE_DIR)) {
    GTEST_SKIP() << *why;
  }
  auto const p = prepared(image_list({"RsmDriver"}) + R"(
[machine]
cpus = 2
[[step]]
kind = "communicate"
to = "RsmDriver"
text = "leave"
[[step]]
kind = "mmi"
)");
  ASSERT_TRUE(p.refused.has_value()) << "the host refuses the image; this test runs it all the same";
  auto const on_sim = must(lab::simulator().run(p));
  auto const on_qemu = must(lab::qemu().run(p));
  EXPECT_EQ(on_sim.halted, hal::HaltReason::RsmBreach);
  EXPECT_EQ(on_qemu.halted, hal::HaltReason::RsmBreach);
  ASSERT_FALSE(on_sim.results.empty());
  ASSERT_EQ(on_sim.results.size(), on_qemu.results.size());
  constexpr u64 kNobodyFinishedIt = 1 + static_cast<u64>(communication::CommunicateError::MmDidNotAnswer);
  EXPECT_EQ(on_sim.results.back().head.detail, kNobodyFinishedIt << 8) << "the message was withdrawn";
  EXPECT_EQ(on_qemu.results.back().head.detail, kNobodyFinishedIt << 8);
}

}  // namespace
}  // namespace mm::sim
