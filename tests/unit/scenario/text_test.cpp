// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <filesystem>
#include <utility>

#include "core/communication/communicator.hpp"
#include "tools/lab/firmware/image_text.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/text/bytes.hpp"
#include "tools/lab/text/program_name.hpp"
#include "tools/lab/text/sarif.hpp"
#include "tools/lab/text/terminal.hpp"

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

TEST(Text, ControlCharactersAreShownAndNothingElseIsLost) {
  EXPECT_EQ(without_controls("a\x1b[2J\tb\n\x7f"), "a?[2J\tb\n?");
  EXPECT_EQ(without_controls("\xC2\x9B"
                             "1m\xC2\xA7"),
            "?1m\xC2\xA7");
  EXPECT_EQ(without_controls("\xC2z\xC2"), "\xC2z\xC2") << "a stray first byte of UTF-8 hides nothing";
  EXPECT_EQ(serial_text("one\r\ntwo\rthree\n"), "one\ntwo?three\n");
}

TEST(Text, HexDigitsStandTogether) { EXPECT_EQ(hex_digits(bytes_of("\x01\xFFz")), "01ff7a"); }

TEST(Text, AUriEscapesAllButUnreservedAndKeptCharacters) {
  EXPECT_EQ(uri_reference("a b/c-._~#%\xC3"), "a%20b/c-._~%23%25%C3");
  EXPECT_EQ(uri_reference("x.fd#Driver", "/#"), "x.fd#Driver");
}

TEST(Text, AFileBelowTheCurrentFolderIsNamedFromThere) {
  EXPECT_EQ(artifact_uri("a b/../c.efi"), "c.efi");
  EXPECT_EQ(artifact_uri((std::filesystem::current_path() / "x/y.efi").string()), "x/y.efi");
  EXPECT_EQ(artifact_uri("/none/y z.efi"), "file:///none/y%20z.efi");
  EXPECT_TRUE(artifact_uri("../y.efi").starts_with("file:///"));
}

TEST(Text, ALocationOfAWholeFileIsAtLineOne) {
  EXPECT_EQ(sarif_location("x", {})["physicalLocation"]["region"], (nlohmann::json{{"startLine", 1}}));
  EXPECT_EQ(sarif_location("x", {{"startLine", 3}})["physicalLocation"]["region"]["startLine"], 3);
  EXPECT_EQ(sarif_location("x", {}, "f")["logicalLocations"][0]["fullyQualifiedName"], "f");
}

TEST(Text, AFingerprintHoldsWhenLinesMoveAndEqualFindingsAreNumbered) {
  auto const fingerprints = [](u32 line) {
    auto const result = sarif_result("rule", 0, "note", "text", sarif_location("x", {{"startLine", line}}));
    auto const log = sarif_log("tool", nlohmann::json::array(), nlohmann::json::array({result, result}));
    auto const& results = log["runs"][0]["results"];
    return std::pair{results[0]["partialFingerprints"], results[1]["partialFingerprints"]};
  };
  EXPECT_EQ(fingerprints(3), fingerprints(4));
  EXPECT_NE(fingerprints(3).first, fingerprints(3).second);
}

TEST(Text, AFingerprintDoesNotHoldOffsetsInCode) {
  auto const fingerprint = [](char const* text) {
    auto const result = sarif_result("rule", 0, "note", text, sarif_location("x", {}));
    auto const log = sarif_log("tool", nlohmann::json::array(), nlohmann::json::array({result}));
    return log["runs"][0]["results"][0]["partialFingerprints"];
  };
  EXPECT_EQ(fingerprint("out at .text+0x150 to +0x1"), fingerprint("out at .text+0x15f to +0x2"));
  EXPECT_NE(fingerprint("out of port 0x80 at .text+0x150"), fingerprint("out of port 0x81 at .text+0x150"));
}

TEST(Text, WhatIsTooLongLosesItsMiddle) {
  EXPECT_EQ(shortened("0123456789", 10), "0123456789");
  EXPECT_EQ(shortened("0123456789", 9), "012...789");
  EXPECT_EQ(shortened("0123456789", 4), "...9");
  EXPECT_EQ(shortened("0123456789", 2), "..");
}

TEST(Text, ACommandIsNamedAsItWasTyped) {
  set_program_name("tools/mmsim");
  EXPECT_EQ(as_typed("try `mmsim run x`; mmsim is a program\n  mmsim fuzz\nExample: mmsim y"),
            "try `tools/mmsim run x`; mmsim is a program\n  tools/mmsim fuzz\nExample: tools/mmsim y");
  set_program_name("mmsim");
  EXPECT_EQ(as_typed("`mmsim run`"), "`mmsim run`");
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
