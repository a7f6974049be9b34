// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "core/communication/communicator.hpp"
#include "tools/lab/firmware/image_text.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/text/bytes.hpp"
#include "tools/lab/text/sarif.hpp"

namespace mm::lab {
namespace {

Bytes bytes_of(std::string_view text) {
  Bytes out;
  append_text(out, text);
  return out;
}

TEST(Text, AHexDumpHasSixteenBytesALine) {
  EXPECT_EQ(hex_dump({}), "");
  EXPECT_EQ(hex_dump(bytes_of("0123456789abcdef\x7F\n~ "), 0x1000),
            "  00001000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef\n"
            "  00001010  7f 0a 7e 20                                      ..~ \n");
}

TEST(Text, HexDigitsStandTogether) { EXPECT_EQ(hex_digits(bytes_of("\x01\xFFz")), "01ff7a"); }

TEST(Text, AUriEscapesAllButUnreservedAndKeptCharacters) {
  EXPECT_EQ(uri_reference("a b/c-._~#%\xC3"), "a%20b/c-._~%23%25%C3");
  EXPECT_EQ(uri_reference("x.fd#Driver", "/#"), "x.fd#Driver");
}

TEST(Text, ALocationOfAWholeFileHasNoRegion) {
  EXPECT_FALSE(sarif_location("x", {})["physicalLocation"].contains("region"));
  EXPECT_EQ(sarif_location("x", {{"startLine", 3}})["physicalLocation"]["region"]["startLine"], 3);
}

TEST(Text, ASectionNameIsPrintableAndEndsAtZeroOrEightBytes) {
  EXPECT_EQ(section_name(bytes_of(".te\x01t"), 0), ".te?t");
  EXPECT_EQ(section_name(bytes_of("  .12345678"), 2), ".1234567");
}

TEST(Text, EveryErrorOfTheClientHasAName) {
  using communication::CommunicateError;
  EXPECT_EQ(communicate_error_name(static_cast<u64>(CommunicateError::CallInProgress)), "CallInProgress");
  EXPECT_EQ(communicate_error_name(static_cast<u64>(CommunicateError::NoCommBuffer)), "NoCommBuffer");
  EXPECT_EQ(communicate_error_name(static_cast<u64>(CommunicateError::MmDidNotAnswer)), "MmDidNotAnswer");
  EXPECT_EQ(communicate_error_name(static_cast<u64>(CommunicateError::MmFailed)), "MmFailed");
  EXPECT_EQ(communicate_error_name(static_cast<u64>(CommunicateError::ReplyTooLong)), "ReplyTooLong");
  EXPECT_EQ(communicate_error_name(static_cast<u64>(CommunicateError::ReplyTooLong) + 1), "");
}

}  // namespace
}  // namespace mm::lab
