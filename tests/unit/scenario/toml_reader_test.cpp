// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "tools/lab/scenario/scenario.hpp"

namespace mm::lab {
namespace {

std::string error_of(std::string_view text) {
  auto const parsed = parse_scenario(text, "x.toml", "/nowhere");
  return parsed ? "" : parsed.error();
}

TEST(TomlReader, AnUnknownKeyIsAnErrorWithLineAndNearestName) {
  EXPECT_EQ(error_of("schema = 1\n[machine]\ncpu = 2\n"),
            "x.toml:3: unknown key 'cpu' in [machine]; did you mean 'cpus'?");
}
TEST(TomlReader, RefusesWrongTypesAndRanges) {
  EXPECT_NE(error_of("schema = 2\n"), "");
  EXPECT_NE(error_of(""), "");
  EXPECT_NE(error_of("schema = 1\n[machine]\ncpus = 9\n"), "");
  EXPECT_NE(error_of("schema = 1\n[machine]\ncpus = \"many\"\n"), "");
  EXPECT_NE(error_of("schema = 1\nimages = [{driver = \"None\"}]\n"), "");
  EXPECT_NE(error_of("schema = 1\n[[step]]\nkind = \"comunicate\"\n"), "");
  EXPECT_NE(error_of("schema = 1\n[[step]]\nkind = \"communicate\"\nto = \"Hallo\"\n"), "");
  EXPECT_NE(error_of("schema = 1\n[[step]]\nkind = \"io\"\nport = 0x10000\n"), "");
  EXPECT_NE(error_of("schema = 1\nx = \n"), "");
}
TEST(TomlReader, ANameOrTitleCommandsNoTerminal) {
  auto const read = [](std::string const& text) {
    return parse_scenario("schema = 1\nname = " + text + "\n[[step]]\nkind = \"mmi\"\ntitle = " + text + "\n", "x.toml",
                          "/nowhere");
  };
  for (auto const& [given, shown] :
       {std::pair{R"("a\u001b[31mb")", "a?[31mb"}, std::pair{R"("a\u009bb\u007f")", "a?b?"},
        std::pair{R"("a\rb\tc\nd")", "a?b\tc\nd"},
        std::pair{R"("Sm\u00f8rrebr\u00f8d\u00a0x")", "Sm\u00f8rrebr\u00f8d\u00a0x"}}) {
    auto const scenario = read(given);
    ASSERT_TRUE(scenario.has_value()) << scenario.error();
    EXPECT_EQ(scenario->name, shown);
    EXPECT_EQ(scenario->steps.at(0).title, shown);
  }
}
TEST(TomlReader, BuildsTheHeaderAndTheProgram) {
  auto const s = parse_scenario(
      "schema = 1\ndispatch = false\n[[step]]\nkind = \"communicate\"\nto = \"Hello\"\ntext = \"abc\"\n"
      "length = 7\nexpect = { status = \"Success\" }\n",
      "x.toml", "/nowhere");
  ASSERT_TRUE(s.has_value()) << s.error();
  ASSERT_EQ(s->steps.size(), 1u);
  auto const& data = s->steps[0].program[0].data;
  EXPECT_EQ(data.size(), 27u);
  EXPECT_EQ(load_int(data, 16, 8), 7u);
  auto const program = encode_program(*s);
  EXPECT_EQ(program.bytes.size(), 16u + 32u + 32u);
  EXPECT_EQ(program.first_step, 0u);
}

}  // namespace
}  // namespace mm::lab
