// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/image_builder.hpp"
#include "tools/lab/scan/words.hpp"

namespace mm::lab {
namespace {

TEST(Words, NumbersOfComparesAndTexts) {
  test::PeSpec spec;
  spec.sections = {
      {0x1000, 0,
       *parse_hex("48 81 F9 44 33 22 11"           // cmp rcx, 0x11223344
                  "48 B8 08 07 06 05 04 03 02 01"  // mov rax, 0x0102030405060708
                  "66 81 F9 CD AB"                 // cmp cx, 0xABCD
                  "3C 41"                          // cmp al, 'A'
                  "83 F9 07"                       // cmp ecx, 7
                  "C3"),
       test::kCode},
      {0x2000, 0, *parse_hex("00 50 41 53 53 57 44 00 00 61 00 62 00 63 00 64 00 00 00 78 79 00"), test::kReadOnly}};
  auto const words = words_of(spec.build());
  for (auto const* const word : {"44 33 22 11 00 00 00 00", "08 07 06 05 04 03 02 01", "CD AB", "50 41 53 53 57 44"}) {
    EXPECT_THAT(words, testing::Contains(*parse_hex(word))) << word;
  }
  EXPECT_THAT(words, testing::Not(testing::Contains(*parse_hex("07 00 00 00")))) << "small numbers are found without";
  EXPECT_THAT(words, testing::Not(testing::Contains(*parse_hex("78 79")))) << "too short for a text";
}

TEST(Words, OfWhatIsNoImage) {
  EXPECT_TRUE(words_of(Bytes(100)).empty());
  EXPECT_TRUE(words_of({}).empty());
}

TEST(Words, AsLibFuzzerReadsThem) {
  std::vector<Bytes> const words{*parse_hex("4D5A00"), *parse_hex("22")};
  EXPECT_EQ(dictionary_text(words), "\"\\x4d\\x5a\\x00\"\n\"\\x22\"\n");
}

}  // namespace
}  // namespace mm::lab
