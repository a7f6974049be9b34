// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <gtest/gtest.h>

#include "tests/contract/cases.hpp"

namespace mm::contract {

/// Registers a GoogleTest for each case. `Harness` is made anew for each and has `run(f)`, which calls f where the CPU
/// is inside MM. Returns the number of cases.
template <typename Harness>
int register_suite(char const* suite) {
  int count = 0;
  for_each_case<Harness>([&](Case<Harness> const& one) {
    struct Test : ::testing::Test {
      explicit Test(Case<Harness> const& c) : one(c) {}
      void TestBody() override {
        Harness harness;
        Report report;
        bool ran = false;
        harness.run([&] {
          one.run(harness, report);
          ran = true;
        });
        EXPECT_TRUE(ran) << "the case did not come to its end";
        EXPECT_EQ(report.failed(), nullptr) << report.failed();
      }
      Case<Harness> one;
    };
    ::testing::RegisterTest(suite, one.name, nullptr, nullptr, __FILE__, __LINE__,
                            [one]() -> ::testing::Test* { return new Test(one); });
    ++count;
  });
  return count;
}

}  // namespace mm::contract
