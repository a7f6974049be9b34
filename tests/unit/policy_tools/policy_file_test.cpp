// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy/policy_file.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "core/abi/guids.hpp"
#include "core/image/bytes.hpp"
#include "tests/unit/policy_tools/example.hpp"
#include "tools/lab/firmware/fv_writer.hpp"
#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/policy_source.hpp"
#include "tools/lab/policy/xml.hpp"

namespace mm::policy_tools {
namespace {

Bytes text(std::string_view t) {
  Bytes out(t.size());
  std::memcpy(out.data(), t.data(), t.size());
  return out;
}
Bytes example() { return *compile_policy(test::kExamplePolicy); }
Bytes section(Bytes const& body, u8 type = 0x19) {
  Bytes out{static_cast<std::byte>(body.size() + 4), static_cast<std::byte>((body.size() + 4) >> 8), std::byte{0},
            std::byte{type}};
  out.insert(out.end(), body.begin(), body.end());
  return out;
}
Bytes volume(Guid const& name) {
  return *lab::write_fv({{.name = name, .type = 2, .depex = {}, .pe32 = {}, .raw = example(), .ui = "policy"}});
}

TEST(PolicyFile, XmlWithOrWithoutMarkAndBlanks) {
  for (auto const* prefix : {"", "\xEF\xBB\xBF", " \n\t"}) {
    auto const file = read_policy(text(prefix + std::string{test::kExamplePolicy}));
    ASSERT_TRUE(file.has_value()) << file.error().text;
    EXPECT_TRUE(file->xml);
    EXPECT_EQ(file->blob, example());
    EXPECT_TRUE(file->policy.roots[0].place.line.has_value());
  }
}

TEST(PolicyFile, BlobWithBytesBehindIt) {
  auto bytes = example();
  bytes.resize(bytes.size() + 7);
  auto const file = read_policy(bytes);
  ASSERT_TRUE(file.has_value()) << file.error().text;
  EXPECT_EQ(file->blob, example());
  ASSERT_EQ(file->warnings.size(), 1u);
  EXPECT_EQ(file->warnings[0].place.offset, example().size());
}

TEST(PolicyFile, InItsWrappings) {
  auto const whole = volume(guids::gMmSupervisorPolicyFileGuid);
  constexpr u64 kVolumeHeader = 72;
  u64 const file_bytes = image::load_le24(whole, kVolumeHeader + 20);
  Bytes const file{whole.begin() + kVolumeHeader,
                   whole.begin() + static_cast<std::ptrdiff_t>(kVolumeHeader + file_bytes)};
  Bytes flash(4097);
  flash.insert(flash.end(), whole.begin(), whole.end());
  for (auto const& bytes : {section(example()), whole, file, flash}) {
    auto const read = lab::policy_of(bytes);
    ASSERT_TRUE(read.has_value()) << read.error().text;
    EXPECT_EQ(read->blob, example());
    EXPECT_FALSE(read->wrapping.empty());
  }
}

TEST(PolicyFile, WhatIsNoPolicySaysSo) {
  auto const whole = volume(guids::gMmSupervisorPolicyFileGuid);
  Bytes cut{whole.begin(), whole.begin() + 100};
  Bytes file{whole.begin() + 72, whole.begin() + 200};
  for (auto const& [bytes, word] : std::vector<std::pair<Bytes, std::string_view>>{
           {{}, "neither"},
           {text("hello"), "neither"},
           {Bytes(64), "neither"},
           {Bytes(8, std::byte{2}), "neither"},
           {Bytes{std::byte{2}, {}, {}, {}, {}, {}, {}, {}}, "V2"},
           {Bytes{{}, {}, std::byte{1}, {}}, "40 bytes"},
           {volume(guids::gMmSupervisorRequestHandlerGuid), "no policy file"},
           {cut, "no policy file"},
           {file, "neither"},
           {section(text("xyz")), "neither"},
           {text("\xFF\xFE<"), "well-formed"}}) {
    auto const read = lab::policy_of(bytes);
    ASSERT_FALSE(read.has_value()) << word;
    EXPECT_NE(read.error().text.find(word), std::string::npos) << read.error().text;
  }
}

}  // namespace
}  // namespace mm::policy_tools
