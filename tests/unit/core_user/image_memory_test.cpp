// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <array>
#include <cstring>

// The functions of ring-3 images under names that the host's library does not have.
#pragma GCC diagnostic ignored "-Wattributes"
#define memcpy mm_image_memcpy
#define memmove mm_image_memmove
#define memset mm_image_memset
#define memcmp mm_image_memcmp
#include "core/user/image/memory.cpp"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp

namespace mm::user {
namespace {

int sign(int value) { return (value > 0 ? 1 : 0) - (value < 0 ? 1 : 0); }

// Words are compared; what counts is the first byte that differs, whatever the bytes behind it are.
TEST(ImageMemory, CompareDecidesByTheFirstByteThatDiffers) {
  for (std::size_t from = 0; from < 8; ++from) {
    for (std::size_t bytes = 0; bytes <= 40; ++bytes) {
      std::array<unsigned char, 64> a{};
      a.fill(0x7F);
      auto b = a;
      b[from + bytes] = 1;  // behind the end
      EXPECT_EQ(mm_image_memcmp(&a[from], &b[from], bytes), 0);
      for (std::size_t at = 0; at < bytes; ++at) {
        for (unsigned char const value : std::array<unsigned char, 4>{0x00, 0x7E, 0x80, 0xFF}) {
          auto c = a;
          c[from + at] = value;
          for (std::size_t behind = at + 1; behind < bytes; ++behind) {
            c[from + behind] = static_cast<unsigned char>(~value);
          }
          int const expected = sign(std::memcmp(&a[from], &c[from], bytes));
          EXPECT_EQ(sign(mm_image_memcmp(&a[from], &c[from], bytes)), expected) << bytes << " " << at;
          EXPECT_EQ(sign(mm_image_memcmp(&c[from], &a[from], bytes)), -expected) << bytes << " " << at;
        }
      }
    }
  }
}

}  // namespace
}  // namespace mm::user
