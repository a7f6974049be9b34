// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/symbols/symbolizer.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/symbols/pe_file.hpp"

namespace mm::lab {
namespace {

namespace fs = std::filesystem;

/// A folder with an image, a file that says that it has lines, a map, and a program in the symbolizer's place.
class SymbolizerTest : public testing::Test {
 protected:
  SymbolizerTest() {
    char name[] = "/tmp/mm-symbols-XXXXXX";
    folder_ = ::mkdtemp(name);
    std::ofstream{folder_ / "My.efi"}.write(reinterpret_cast<char const*>(file_.bytes.data()), 0x3000);
    std::ofstream{folder_ / "My.debug"} << "ELF .debug_line";
    std::ofstream{folder_ / "My.map"} << " 0001:00000000       FromMap          0000000000001000 f My.obj\n";
  }
  ~SymbolizerTest() override { fs::remove_all(folder_); }

  /// A Symbolizer whose program is this shell script.
  Symbolizer with(std::string const& script) {
    auto const path = folder_ / "symbolizer";
    std::ofstream{path} << "#!/bin/sh\n" << script;
    fs::permissions(path, fs::perms::owner_all);
    return Symbolizer{path.string(), std::chrono::milliseconds{300}};
  }
  static std::string answer(std::string const& line) {
    return "while read q; do echo '{\"Address\":\"0x1010\",\"Symbol\":[" + line + "]}'; done\n";
  }
  ImageFile image() const { return {folder_ / "My.efi", nullptr}; }
  std::string text(Symbolizer& s, u64 offset = 0x1010) { return frames_text(s.frames(image(), offset), offset); }

  test::PeFile file_;
  fs::path folder_;
};

constexpr char kInlined[] =
    R"x({"FileName":"/src/a.c","FunctionName":"peek","Line":3,"StartAddress":"0x1000"},)x"
    R"x({"FileName":"/src/a.c","FunctionName":"ns::outer(int)","Line":9,"StartAddress":"0x1000","StartLine":8})x";

TEST_F(SymbolizerTest, InlinedFramesAreToldInOrder) {
  auto s = with(answer(kInlined));
  EXPECT_EQ(text(s), "peek at /src/a.c:3, inlined in ns::outer at /src/a.c:9");
  EXPECT_EQ(s.frames(image(), 0x1010).back().start_line, 8u);
  EXPECT_EQ(s.trouble(), "");
}

TEST_F(SymbolizerTest, NamesOfAnImageCommandNoTerminal) {
  auto s = with(answer(R"x({"FileName":"/src/\u001b[2Ja.c","FunctionName":"pe\u001b]0;x\u0007ek","Line":3})x"));
  EXPECT_EQ(text(s), "pe?]0;x?ek at /src/?[2Ja.c:3");
  std::ofstream{folder_ / "My.map"} << " 0001:00000000       From\x1b[31mMap          0000000000001000 f My.obj\n";
  Symbolizer by_map{(folder_ / "no-such-program").string(), std::chrono::milliseconds{300}};
  EXPECT_EQ(text(by_map), "From?[31mMap+0x10");
}

TEST_F(SymbolizerTest, OneProcessAnswersForEveryQuestion) {
  auto s = with("echo x >> " + (folder_ / "starts").string() + "\n" + answer(kInlined));
  for (u64 offset = 0x1000; offset < 0x1100; ++offset) {
    EXPECT_NE(text(s, offset), "");
  }
  EXPECT_EQ(fs::file_size(folder_ / "starts"), 2u);
}

TEST_F(SymbolizerTest, SourcesThatWereMoved) {
  auto s = with(answer(kInlined));
  s.map_sources("/src/", "/moved/");
  EXPECT_EQ(text(s), "peek at /moved/a.c:3, inlined in ns::outer at /moved/a.c:9");
}

TEST_F(SymbolizerTest, LineZeroIsThatOfTheNearestCode) {
  auto s = with(
      "while read q a; do case $a in\n"
      "0x1010|0x100f) echo '{\"Symbol\":[{\"FileName\":\"a.c\",\"FunctionName\":\"f\",\"Line\":0}]}';;\n"
      "*) echo '{\"Symbol\":[{\"FileName\":\"a.c\",\"FunctionName\":\"f\",\"Line\":7}]}';; esac; done\n");
  EXPECT_EQ(text(s), "f at a.c:7");
}

TEST_F(SymbolizerTest, LineZeroDoesNotTakeTheLineOfAnotherFunction) {
  auto s = with(
      "while read q a; do case $a in\n"
      "0x1010) echo '{\"Symbol\":[{\"FileName\":\"a.c\",\"FunctionName\":\"f\",\"Line\":0}]}';;\n"
      "*) echo '{\"Symbol\":[{\"FileName\":\"a.c\",\"FunctionName\":\"g\",\"Line\":7}]}';; esac; done\n");
  EXPECT_EQ(text(s), "f");
}

TEST_F(SymbolizerTest, AbsentEndedSilentAndBabblingProgramsLeaveTheMap) {
  Symbolizer absent{(folder_ / "no-such-program").string(), std::chrono::milliseconds{300}};
  EXPECT_EQ(text(absent), "FromMap+0x10");
  EXPECT_NE(absent.trouble().find("cannot be started"), std::string::npos) << absent.trouble();
  auto ended = with("exit 1\n");
  EXPECT_EQ(text(ended), "FromMap+0x10");
  EXPECT_NE(ended.trouble().find("has ended"), std::string::npos) << ended.trouble();
  auto silent = with("sleep 60\n");
  EXPECT_EQ(text(silent), "FromMap+0x10");
  EXPECT_NE(silent.trouble().find("did not answer"), std::string::npos) << silent.trouble();
  EXPECT_EQ(text(silent, 0x1020), "FromMap+0x20") << "it is not asked again";
  auto babbling = with("while read q; do echo '[1, {'; done\n");
  EXPECT_EQ(text(babbling), "FromMap+0x10");
  auto wrong = with("while read q; do echo '{\"Symbol\":[{\"Line\":\"x\",\"FunctionName\":5},3]}'; done\n");
  EXPECT_EQ(text(wrong), "FromMap+0x10");
}

TEST_F(SymbolizerTest, NoMapNoDebugInformationNothing) {
  auto s = with(answer(kInlined));
  EXPECT_TRUE(s.frames({folder_ / "Other.efi", nullptr}, 0x1010).empty());
}

TEST_F(SymbolizerTest, DebugFilesAreFoundWhereBuildsLeaveThem) {
  EXPECT_EQ(find_debug_file(image())->object, folder_ / "My.debug");
  EXPECT_EQ(find_debug_file(image())->base, 0u);
  fs::create_directory(folder_ / "OUTPUT");
  fs::create_directory(folder_ / "DEBUG");
  fs::copy(folder_ / "My.efi", folder_ / "OUTPUT");
  EXPECT_FALSE(find_debug_file({folder_ / "OUTPUT/My.efi", nullptr}));
  fs::copy(folder_ / "My.debug", folder_ / "DEBUG");
  EXPECT_TRUE(find_debug_file({folder_ / "OUTPUT/My.efi", nullptr}));
  fs::copy(folder_ / "My.map", folder_ / "DEBUG");
  EXPECT_FALSE(find_map_file({folder_ / "OUTPUT/My.efi", nullptr}).empty());
}

}  // namespace
}  // namespace mm::lab
