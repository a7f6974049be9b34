// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy/blob.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/support/policy_blob.hpp"
#include "tests/unit/policy_tools/example.hpp"
#include "tools/lab/policy/xml.hpp"

namespace mm::policy_tools {
namespace {

using test::Blob;

Bytes bytes_of(std::vector<u8> const& raw) {
  Bytes out(raw.size());
  std::memcpy(out.data(), raw.data(), raw.size());
  return out;
}

TEST(PolicyBlob, TheExampleComesFromItsSourceByteForByte) {
  EXPECT_EQ(compile_policy(test::kExamplePolicy), bytes_of(Blob::example()));
}

TEST(PolicyBlob, EntriesKnowTheirOffset) {
  auto const policy = decode(bytes_of(Blob::example()));
  ASSERT_TRUE(policy.has_value());
  EXPECT_EQ(policy->roots[1].place.offset, 0x40u);
  EXPECT_EQ(policy->roots[1].entries[1].place.offset, 0xB8u);
  EXPECT_EQ(policy->roots[1].entries[1].size, 4u);
}

TEST(PolicyBlob, AMalformedFrameHasAnOffsetAndASentence) {
  for (auto const& [offset, value, at] :
       {std::tuple{2u, 2, 0u}, {4u, 0x51, 4u}, {12u, 1, 12u}, {36u, 0xFF, 32u}, {48u, 9, 40u}, {61u, 1, 40u}}) {
    auto blob = bytes_of(Blob::example());
    blob[offset] = static_cast<std::byte>(value);
    auto const policy = decode(blob);
    ASSERT_FALSE(policy.has_value()) << offset;
    EXPECT_EQ(policy.error().place.offset, at);
    EXPECT_FALSE(policy.error().text.empty());
  }
}

TEST(PolicyBlob, WhatTheSupervisorWouldRefuseCanStillBeShown) {
  auto const blob = bytes_of(Blob::make({{3, 0, {Blob::msr(5, 2, 1), Blob::msr(6, 1, 1)}}, {1, 1, {}}}));
  ASSERT_TRUE(decode(blob).has_value());
  auto const why = refusal(blob);
  ASSERT_TRUE(why.has_value());
  EXPECT_EQ(why->place.offset, 40u + 48 + 8);
  EXPECT_FALSE(refusal(bytes_of(Blob::example())).has_value());
}

TEST(PolicyBlob, EveryProblemHasItsOwnSentence) {
  std::vector<std::string_view> seen;
  for (u64 p = 0; p <= static_cast<u64>(policy::Problem::SaveStateCondition); ++p) {
    auto const text = problem_text(policy::Problem{p});
    EXPECT_NE(text, "unknown");
    EXPECT_EQ(std::ranges::find(seen, text), seen.end());
    seen.push_back(text);
  }
}

TEST(PolicyBlob, FieldNames) {
  auto const blob = bytes_of(Blob::example());
  for (auto const& [offset, name] : {std::pair{0u, "VersionMinor of the header"},
                                     {36u, "PolicyRootCount of the header"},
                                     {44u, "PolicyRootSize of root 1"},
                                     {0x40u + 20, "AccessAttr of root 2"},
                                     {0xB8u + 4, "Length of MSR entry 2"},
                                     {0x140u + 8, "AccessCondition of SAVESTATE entry 2"},
                                     {0x150u, "a byte that belongs to nothing"}}) {
    EXPECT_EQ(field_at(blob, offset), name);
  }
}

TEST(PolicyDecompile, WhatTheSourceCannotSayIsRefusedWithItsField) {
  struct Row {
    std::vector<Blob::Root> roots;
    std::string_view word;
  };
  for (auto const& [roots, word] :
       std::vector<Row>{{{{2, 0, {Blob::io(1, 1, 1)}}}, "MEM root"},
                        {{{2, 0, {Blob::io(1, 1, 0x11)}}, {1, 1, {}}}, "Attributes of IO entry 1"},
                        {{{2, 0, {Blob::io(1, 1, 0x8001)}}, {1, 1, {}}}, "Attributes of IO entry 1"},
                        {{{3, 0, {Blob::msr(1, 1, 9)}}, {1, 1, {}}}, "Attributes of MSR entry 1"},
                        {{{4, 0, {Blob::instruction(7, 4)}}, {1, 1, {}}}, "unknown instruction"},
                        {{{5, 0, {Blob::save_state(0, 0x10, 3)}}, {1, 1, {}}}, "AccessCondition of SAVESTATE entry 1"},
                        {{{4, 0, {Blob::instruction(1, 4, 1)}}, {1, 1, {}}}, "Reserved of INSTRUCTION entry 1"}}) {
    auto const xml = decompile_policy(bytes_of(Blob::make(roots)));
    ASSERT_FALSE(xml.has_value()) << word;
    EXPECT_NE(xml.error().text.find(word), std::string::npos) << xml.error().text;
  }
  auto odd = bytes_of(Blob::example());
  odd[44] = std::byte{32};
  EXPECT_NE(decompile_policy(odd).error().text.find("PolicyRootSize of root 1"), std::string::npos);
  EXPECT_EQ(decompile_policy(odd).error().place.offset, 44u);
}

}  // namespace
}  // namespace mm::policy_tools
