// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/scenario/policy_xml.hpp"

#include <gtest/gtest.h>

#include "core/policy/policy.hpp"

namespace mm::scenario {
namespace {

TEST(PolicyXml, TheExampleHasTheOffsetsAndCountsOfTheReference) {
  auto const blob = compile_policy(default_policy_xml());
  ASSERT_TRUE(blob.has_value()) << blob.error();
  ASSERT_EQ(blob->size(), 0x150u);
  EXPECT_EQ(load_int(*blob, 0, 4), 0x0001'0000u);
  EXPECT_EQ(load_int(*blob, 4, 4), 0x150u);
  EXPECT_EQ(load_int(*blob, 32, 4), 0x28u);
  EXPECT_EQ(load_int(*blob, 36, 4), 5u);
  constexpr u64 kRoots[][4] = {{2, 0xA0, 2, 1}, {3, 0xB0, 13, 1}, {4, 0x118, 3, 0}, {5, 0x130, 2, 0}, {1, 0x150, 0, 1}};
  for (std::size_t i = 0; i < 5; ++i) {
    std::size_t const at = 0x28 + 24 * i;
    EXPECT_EQ(load_int(*blob, at + 8, 4), kRoots[i][0]);
    EXPECT_EQ(load_int(*blob, at + 12, 4), kRoots[i][1]);
    EXPECT_EQ(load_int(*blob, at + 16, 4), kRoots[i][2]);
    EXPECT_EQ(load_int(*blob, at + 20, 1), kRoots[i][3]);
  }
  EXPECT_EQ(load_int(*blob, 0xA0, 8), 0x0000'000A'0004'0CF8u);
  EXPECT_EQ(load_int(*blob, 0xA8, 8), 0x0000'0002'0004'0CFCu);
  EXPECT_EQ(load_int(*blob, 0xB8, 8), 0x0007'0004'C000'0081u);
  EXPECT_EQ(policy::validate(*blob), policy::Finding{});
}

TEST(PolicyXml, RefusesWhatItCannotEncode) {
  EXPECT_FALSE(compile_policy("<a>").has_value());
  EXPECT_FALSE(compile_policy("<a><SmmCategory name='PCI'/></a>").has_value());
  EXPECT_FALSE(compile_policy("<a><SmmCategory name='IO'><PolicyEntry><StartAddress Value='1'/><Size Value='0'/>"
                              "</PolicyEntry></SmmCategory></a>")
                   .has_value());
  EXPECT_FALSE(compile_policy("<a><SmmCategory name='IO'><PolicyEntry><StartAddress Value='0x10000'/><Size Value='1'/>"
                              "</PolicyEntry></SmmCategory></a>")
                   .has_value());
  EXPECT_FALSE(compile_policy("<a><SmmCategory name='IO'/><SmmCategory name='IO'/></a>").has_value());
  EXPECT_FALSE(compile_policy("<a><SmmCategory name='INSTRUCTION'><PolicyEntry><Instruction Value='RSM'/></PolicyEntry>"
                              "</SmmCategory></a>")
                   .has_value());
}

}  // namespace
}  // namespace mm::scenario
