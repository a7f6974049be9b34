// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/linux/comm_region.hpp"

#include <gtest/gtest.h>

namespace mm::linux_tool {
namespace {

TEST(CommRegion, TakesDecimalAndHexadecimalNumbers) {
  EXPECT_EQ(parse_comm_region("0x4000000,16,0x4020000"), (CommRegion{0x400'0000, 16, 0x402'0000}));
  EXPECT_EQ(parse_comm_region("0x04000000,0x00000010,0x04020000"), (CommRegion{0x400'0000, 16, 0x402'0000}));
  EXPECT_EQ(parse_comm_region("4096,1"), (CommRegion{4096, 1, 0}));
}

TEST(CommRegion, SaysWhatIsWrong) {
  struct Case {
    char const* text;
    char const* word;
  };
  for (Case const c :
       {Case{"", "not two or three"}, Case{"0x1000", "not two or three"}, Case{"1,2,3,4", "not two or three"},
        Case{"0x1000,", "no number"}, Case{"x,1", "no number"}, Case{"0x,1", "no number"}, Case{"-4096,1", "no number"},
        Case{"0x10000000000000000,1", "no number"}, Case{"0,1", "that of a page"}, Case{"0x1001,1", "that of a page"},
        Case{"0x1000,0", "pages"}, Case{"0x1000,4097", "pages"}, Case{"0x1000,1,0x3004", "8 bytes"},
        Case{"0xFFFFFFFFFFFFF000,2", "passes the end"}, Case{"0x1000,1,0xFFFFFFFFFFFFFFF8", "passes the end"},
        Case{"0x1000,2,0x2FF8", "lies in the buffer"}, Case{"0x2000,1,0x1FF0", "lies in the buffer"}}) {
    auto const region = parse_comm_region(c.text);
    ASSERT_FALSE(region.has_value()) << c.text;
    EXPECT_NE(region.error().find(c.word), std::string::npos) << region.error();
  }
}

TEST(KernelParameter, IsTheValueOfAWholeWord) {
  constexpr std::string_view kLine = "quiet xmm_comm.user=1 mm_comm.user=2,3 mm_comm.users=4\n";
  EXPECT_EQ(kernel_parameter(kLine, "mm_comm.user"), "2,3");
  EXPECT_EQ(kernel_parameter(kLine, "mm_comm.users"), "4");
  EXPECT_EQ(kernel_parameter(kLine, "mm_comm.supervisor"), "");
  EXPECT_EQ(kernel_parameter("", "a"), "");
  EXPECT_EQ(kernel_parameter("a", "a"), "");
}

}  // namespace
}  // namespace mm::linux_tool
