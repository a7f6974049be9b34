// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/contract/cases.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/prepare.hpp"

namespace mm::contract {
namespace {

TEST(BareMachineContract, HoldsUnderQemu) {
  std::filesystem::path const images{MM_TEST_IMAGE_DIR};
  auto loaded = lab::parse_scenario("schema = 1\ndispatch = false\n", "contract", images);
  ASSERT_TRUE(loaded) << loaded.error();
  loaded->supervisor = "MmSupervisorContract";
  auto const prepared = lab::prepare(std::move(*loaded), images);
  ASSERT_TRUE(prepared) << prepared.error();
  auto const run = lab::qemu().run(*prepared);
  ASSERT_TRUE(run) << run.error();
  std::size_t passed = 0;
  for (auto const& line : run->text) {
    EXPECT_FALSE(line.starts_with("FAILED")) << line;
    passed += line.starts_with("passed ") ? 1u : 0u;
  }
  constexpr std::size_t kOfTheBareMachine = 3;
  EXPECT_EQ(passed, kCommonCount + kRing3Count + kOfTheBareMachine);
  EXPECT_EQ(std::ranges::count(run->text, "end of the contract"), 1);
}

}  // namespace
}  // namespace mm::contract
