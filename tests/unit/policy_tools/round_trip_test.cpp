// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "tests/unit/policy_tools/generator.hpp"
#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/xml.hpp"

namespace mm::policy_tools {
namespace {

TEST(PolicyRoundTrip, GeneratedPoliciesComeBackByteForByte) {
  test::PolicyGenerator generator{1};
  for (int i = 0; i < 2000; ++i) {
    auto const blob = encode(generator.next());
    auto const xml = decompile_policy(blob);
    ASSERT_TRUE(xml.has_value()) << i << ": " << xml.error().text;
    ASSERT_EQ(compile_policy(*xml), blob) << *xml;
    ASSERT_EQ(encode(*decode(blob)), blob);
  }
}

TEST(PolicyRoundTrip, OneChangedByteIsReadOrRefusedButNeverLost) {
  test::PolicyGenerator generator{2};
  for (int i = 0; i < 3000; ++i) {
    auto blob = encode(generator.next());
    blob[generator.below(blob.size())] ^= std::byte{1} << generator.below(8);
    if (auto const xml = decompile_policy(blob)) {
      ASSERT_EQ(compile_policy(*xml), blob) << *xml;
    } else {
      EXPECT_FALSE(xml.error().text.empty());
    }
  }
}

TEST(PolicyRoundTrip, DamagedSourcesAreRefusedWithASentence) {
  test::PolicyGenerator generator{3};
  std::string const good = write_xml(generator.next());
  for (int i = 0; i < 3000; ++i) {
    auto xml = good;
    xml[generator.below(xml.size())] = static_cast<char>(generator.below(256));
    if (auto const read = read_xml(xml); !read) {
      EXPECT_FALSE(read.error().text.empty());
    }
  }
}

}  // namespace
}  // namespace mm::policy_tools
