// SPDX-License-Identifier: BSD-2-Clause-Patent
// Classes of files that other people have: seeded members, each with what must be right of it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/format_members.hpp"
#include "tools/lab/firmware/depex_check.hpp"
#include "tools/lab/firmware/depex_file.hpp"
#include "tools/lab/firmware/volume_listing.hpp"
#include "tools/lab/scan/scan.hpp"
#include "tools/lab/scenario/scenario.hpp"
#include "tools/lab/text/json_text.hpp"

namespace mm::lab {
namespace {

using test::Blob;
using test::Dice;

constexpr u64 kMembers = 400;

/// Names of the files that a loader would take.
std::vector<Guid> sound_files(Listing const& listing) {
  std::vector<Guid> out;
  for_each_file(listing.volumes, [&](ListedFile const& f) {
    if (!f.damaged) {
      out.push_back(f.name);
    }
  });
  return out;
}

TEST(FormatClasses, ADamagedFileHidesNoOther) {
  for (u64 seed = 0; seed < kMembers; ++seed) {
    auto const member = test::damaged_volume(seed);
    auto const listing = list_images(member.bytes);
    ASSERT_TRUE(listing.has_value()) << seed << ": " << listing.error();
    EXPECT_EQ(sound_files(*listing), member.sound) << seed << ", damage " << int(member.damage);
    EXPECT_FALSE(losses_of(*listing).damage.empty()) << seed << ", damage " << int(member.damage);
  }
}

TEST(FormatClasses, AVolumeWithOneWrongInItsHeaderIsListedWhereverItStands) {
  for (u64 seed = 0; seed < kMembers; ++seed) {
    auto const member = test::misplaced_volume(seed);
    auto const listing = list_images(member.bytes);
    ASSERT_TRUE(listing.has_value()) << seed << ": " << listing.error();
    ASSERT_EQ(listing->volumes.size(), 1u) << seed;
    auto const names = sound_files(*listing);
    ASSERT_GE(names.size(), member.sound.size()) << seed;
    EXPECT_TRUE(std::equal(member.sound.begin(), member.sound.end(), names.begin())) << seed;
    EXPECT_NE(count_problems(listing->volumes), 0u) << seed;
  }
}

TEST(FormatClasses, LooksLikeVolumesAndTakesNoTime) {
  constexpr std::size_t kBytes = 4 << 20;
  auto const start = std::chrono::steady_clock::now();
  for (u64 seed = 0; seed < 8; ++seed) {
    Dice dice{seed};
    Blob period = dice.one_in(2) ? dice.bytes(8 + 8 * dice.below(6)) : Blob(8 + 8 * dice.below(6));
    test::put(period, dice.below(period.size() - 3), u32{0x4856'465F});
    test::put(period, 0, static_cast<u16>(dice.one_in(2) ? 0xFFFE : 0x1000));
    Blob file;
    while (file.size() < kBytes) {
      test::append(file, period);
    }
    (void)list_images(file);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds{60})
      << "linear: some tenths of a second each";
}

TEST(FormatClasses, SectionsAtTheEndOfTheAddressSpace) {
  for (u64 seed = 0; seed < kMembers; ++seed) {
    auto const image = test::wrapping_image(seed);
    auto const report = scan_image({"x.efi", image, {}, {}});
    ASSERT_TRUE(report.has_value()) << seed;
    EXPECT_TRUE(report->has(ScanLevel::Error)) << seed;
    EXPECT_NE(report->verdict().find("refuses"), std::string_view::npos) << seed;
  }
}

/// The value of an expression, from the specification: nothing when it is malformed.
std::optional<bool> value_of(Blob const& depex, std::function<bool(Guid const&)> const& installed) {
  std::vector<bool> stack;
  auto const pop = [&stack] {
    bool const top = stack.back();
    stack.pop_back();
    return top;
  };
  for (std::size_t at = 0; at < depex.size(); ++at) {
    int const op = static_cast<int>(depex[at]);
    std::size_t const needs = op == 3 || op == 4 ? 2 : op == 5 || op == 8 ? 1 : 0;
    if (stack.size() < needs || op > 8 || op < 2) {
      return std::nullopt;
    }
    if (op == 2) {
      if (depex.size() - at <= sizeof(Guid)) {
        return std::nullopt;
      }
      stack.push_back(installed(image::load_guid(depex, at + 1)));
      at += sizeof(Guid);
    } else if (op == 8) {
      return stack.back();
    } else if (op == 5) {
      stack.back() = !stack.back();
    } else if (op >= 6) {
      stack.push_back(op == 6);
    } else {
      bool const a = pop();
      bool const b = pop();
      stack.push_back(op == 3 ? a && b : a || b);
    }
  }
  return std::nullopt;
}

TEST(FormatClasses, ExpressionsThatNeverHold) {
  u64 never = 0;
  for (u64 seed = 0; seed < 10 * kMembers; ++seed) {
    auto const depex = test::depex_member(seed);
    if (static_cast<u8>(depex[0]) < 2) {
      continue;  // BEFORE or AFTER another file: held by no protocol
    }
    std::vector<Guid> pushed;
    (void)value_of(depex, [&](Guid const& g) {
      if (std::ranges::find(pushed, g) == pushed.end()) {
        pushed.push_back(g);
      }
      return false;
    });
    bool holds = false;
    for (u64 set = 0; set < u64{1} << pushed.size(); ++set) {
      holds = holds || value_of(depex, [&](Guid const& g) {
                         return (set >> (std::ranges::find(pushed, g) - pushed.begin()) & 1) != 0;
                       }).value_or(false);
    }
    EXPECT_EQ(why_depex_never_holds(depex).has_value(), !holds) << seed;
    never += holds ? 0 : 1;
  }
  EXPECT_GT(never, 100u);
}

TEST(FormatClasses, WholeDepexSections) {
  for (u64 seed = 0; seed < kMembers; ++seed) {
    Dice dice{seed};
    auto const depex = test::depex_member(seed);
    constexpr std::array<u8, 3> kTypes{0x13, 0x1B, 0x1C};
    auto section = test::section(kTypes[dice.below(3)], depex, dice.one_in(3));
    section.resize(section.size() + dice.below(4));
    auto const inner = depex_of_section(section);
    EXPECT_TRUE(std::ranges::equal(inner, depex)) << seed;
    EXPECT_TRUE(std::ranges::equal(depex_of_section(depex), depex)) << seed;
  }
}

TEST(FormatClasses, KeysOfAnyNumberOfParts) {
  for (u64 seed = 0; seed < 120; ++seed) {
    Dice dice{seed};
    u64 const parts = dice.one_in(2) ? 17 + dice.below(100) : 10'000 + dice.below(20'000);
    std::string const part = dice.one_in(2) ? "a" : dice.one_in(2) ? "\"b.c\"" : "'d'";
    std::string key = part;
    for (u64 i = 1; i < parts; ++i) {
      key += (dice.one_in(8) ? " . " : ".") + part;
    }
    std::string const filler(dice.below(5), '\n');
    std::string const text = filler + (seed % 4 == 0   ? "[" + key + "]\n"
                                       : seed % 4 == 1 ? "[[" + key + "]]\n"
                                       : seed % 4 == 2 ? key + " = 1\n"
                                                       : "x = [{" + key + " = 1}]\n");
    auto const read = parse_scenario(text, "x.toml", "");
    ASSERT_FALSE(read.has_value());
    EXPECT_NE(read.error().find("x.toml:" + std::to_string(filler.size() + 1) + ":"), std::string::npos)
        << read.error();
    EXPECT_NE(read.error().find("parts"), std::string::npos) << read.error();
  }
  for (u64 depth : {u64{17}, u64{300}, u64{100'000}}) {
    auto const read = parse_scenario("x = " + std::string(depth, '[') + "\n", "x.toml", "");
    ASSERT_FALSE(read.has_value());
    EXPECT_NE(read.error().find("x.toml:1:"), std::string::npos);
  }
}

TEST(FormatClasses, DotsAndBracketsInTextsAreNone) {
  std::string const dots(5000, '.');
  std::string const brackets(5000, '[');
  for (auto const& value : {"\"" + dots + brackets + "\"", "'" + dots + brackets + "'",
                            "\"\"\"\n" + dots + "\"\"" + brackets + "\\\"\"\"\"",
                            "'''" + dots + "\n''" + brackets + "'''", "\"x\" # " + dots + brackets}) {
    auto const read = parse_scenario("schema = 1\nname = " + value + "\n", "x.toml", "");
    EXPECT_TRUE(read.has_value()) << read.error();
  }
}

TEST(FormatClasses, NumbersAsPeopleWriteThem) {
  auto const step = [](std::string const& address) {
    return parse_scenario("schema = 1\n[[step]]\nkind = \"read\"\nbytes = 1\naddress = " + address + "\n", "x.toml",
                          "");
  };
  for (auto const* good : {"16", "0x10", "\"16\"", "\"0X10\"", "\"scratch+16\"", "\"scratch\"", "0"}) {
    EXPECT_TRUE(step(good).has_value()) << good;
  }
  for (auto const* bad : {"\"010\"", "\"00\"", "\"0o17\"", "\"0b1\"", "\" 1\"", "\"+1\"", "\"-1\"", "\"1 \"", "\"\"",
                          "\"0x\"", "\"1_0\"", "\"scratch+\"", "\"scratch+010\"", "\"scratch-1\"", "\"nowhere+1\""}) {
    EXPECT_FALSE(step(bad).has_value()) << bad;
  }
  Dice dice{1};
  for (int i = 0; i < 200; ++i) {
    for (auto const* region :
         {"mmram", "user-comm", "supervisor-comm", "user-status", "supervisor-status", "scratch"}) {
      auto const read = step(fmt::format("\"{}+{:#x}\"", region, ~dice.below(0x0400'0000)));
      ASSERT_FALSE(read.has_value());
      EXPECT_NE(read.error().find("out of range"), std::string::npos) << read.error();
    }
  }
  for (auto const* far :
       {"address = 0xFFFFFFFF\nbytes = 2", "address = 0xFFFFF000\nbytes = 1\nrepeat = 3\nstride = 0x800",
        "address = 1\nbytes = 1\nrepeat = 3\nstride = \"0xFFFFFFFFFFFFFFFF\""}) {
    auto const read = parse_scenario(fmt::format("schema = 1\n[[step]]\nkind = \"read\"\n{}\n", far), "x.toml", "");
    ASSERT_FALSE(read.has_value()) << far;
    EXPECT_NE(read.error().find("4 GiB"), std::string::npos) << read.error();
  }
  EXPECT_NE(step("99999999999").error().find("99999999999"), std::string::npos) << "decimal stays decimal";
  EXPECT_NE(step("0x9999999999").error().find("0x9999999999"), std::string::npos);
}

TEST(FormatClasses, EveryProblemOfAScenarioAtOnce) {
  auto const read = parse_scenario(
      "schema = 1\nnam = 1\nnane = 2\n[machine]\ncpus = 99\n[[step]]\nkind = \"nothing\"\n[[step]]\nkind = \"io\"\n"
      "[expect]\nhalted = \"x\"\n",
      "x.toml", "");
  ASSERT_FALSE(read.has_value());
  for (auto const* line : {"x.toml:2:", "x.toml:3:", "x.toml:5:", "x.toml:7:", "x.toml:8:", "x.toml:11:"}) {
    EXPECT_NE(read.error().find(line), std::string::npos) << line << "\n" << read.error();
  }
}

TEST(FormatClasses, JsonOfAnyBytes) {
  for (u64 seed = 0; seed < kMembers; ++seed) {
    Dice dice{seed};
    auto const bytes = dice.bytes(dice.below(40));
    std::string const text{reinterpret_cast<char const*>(bytes.data()), bytes.size()};
    auto const json = json_text({{"path", text}, {text, 1}});
    auto const parsed = nlohmann::json::parse(json, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << seed;
    EXPECT_EQ(parsed["path"].get<std::string>(), valid_utf8(text)) << seed;
  }
}

TEST(FormatClasses, FormsOfAGuid) {
  for (u64 seed = 0; seed < 200; ++seed) {
    Dice dice{seed};
    Guid const g = dice.guid();
    auto const registry = format_guid(g);
    auto const& d = g.data4;
    auto const initialiser =
        fmt::format("{{ {:#x}, {:#X},{:#06x}, {{{:#x}, {:#x}, {:#04x},{:#x}, {:#x}, {:#x}, {:#x}, {:#x} }} }}", g.data1,
                    g.data2, g.data3, d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]);
    auto const flat = fmt::format("{{{:#x},{:#x},{:#x},{:#x},{:#x},{:#x},{:#x},{:#x},{:#x},{:#x},{:#x}}}", g.data1,
                                  g.data2, g.data3, d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]);
    for (auto const& text : {registry, "{" + registry + "}", initialiser, flat}) {
      auto const read = find_guid(text);
      ASSERT_TRUE(read.has_value()) << text;
      EXPECT_EQ(*read, g) << text;
      EXPECT_FALSE(find_guid(text.substr(0, text.size() - 1)).has_value()) << text;
      EXPECT_FALSE(find_guid(text + "0").has_value()) << text;
    }
  }
}

/// A driver with a switch, whose table is followed by another thing: CLI is where the entries behind the table lead.
Blob image_with_switch(u64 seed, u64& cases) {
  Dice dice{seed};
  cases = 1 + dice.below(6);
  constexpr u32 kCode = 0x1000, kTable = 0x40, kBodies = 0x100;
  Blob code(0x400, std::byte{0xC3});
  u64 at = 0;
  auto const emit = [&](std::initializer_list<int> bytes) {
    for (int const b : bytes) {
      code[at++] = static_cast<std::byte>(b);
    }
  };
  bool const below = dice.one_in(2);
  emit({0x83, 0xF9, static_cast<int>(cases - (below ? 0 : 1))});  // cmp ecx, cases or cases - 1
  u64 const branch = at;
  emit({below ? 0x73 : 0x77, 0});        // jae or ja: to the end
  emit({0x89, 0xC8});                    // mov eax, ecx
  emit({0x48, 0x8D, 0x15, 0, 0, 0, 0});  // lea rdx, [rip + table]
  test::put(code, at - 4, static_cast<u32>(kTable - at));
  emit({0x48, 0x63, 0x04, 0x82, 0x48, 0x01, 0xD0, 0xFF, 0xE0});  // movsxd rax, [rdx + rax * 4]; add rax, rdx; jmp rax
  code[branch + 1] = static_cast<std::byte>(at - branch - 2);
  emit({0xC3});
  for (u64 i = 0; i < 16; ++i) {
    u64 const body = kBodies + 16 * i;
    test::put(code, kTable + 4 * i, static_cast<u32>(body - kTable));
    code[body] = std::byte{static_cast<u8>(i < cases ? 0x90 : 0xFA)};  // nop, or cli where only the next table leads
  }
  test::PeSpec spec;
  spec.sections = {{kCode, static_cast<u32>(code.size()), code, test::kCode}, {0x2000, 16, Blob(16), test::kData}};
  return spec.build();
}

TEST(FormatClasses, TheTableOfASwitchEndsWhereItsCompareSays) {
  for (u64 seed = 0; seed < 150; ++seed) {
    u64 cases = 0;
    auto const report = scan_image({"x.efi", image_with_switch(seed, cases), {}, {}});
    ASSERT_TRUE(report.has_value());
    for (auto const& f : report->findings) {
      EXPECT_NE(f.rule->id, "policy-instruction") << seed << ": " << f.text;
    }
  }
}

/// The table of a switch that only a pointer leads to reads like instructions: OUT, CLI, STI and a jump.
TEST(FormatClasses, ATableBehindAPointerIsNoCode) {
  constexpr std::array<u32, 5> kLast{0xEF, 0xFA, 0x119, 0x1FB, 0x225};
  for (u64 seed = 0; seed < 120; ++seed) {
    Dice dice{seed};
    u32 const distance = 0x40000 + 0x100 * static_cast<u32>(dice.below(0x40));
    u32 const table = distance + 0x1000 + 4 * static_cast<u32>(dice.below(64));
    Blob code(table + 64, std::byte{0xC3});
    std::ranges::copy(test::bytes_of({0x48, 0x8D, 0x0D}), code.begin());  // lea rcx, [rip + table]; ret
    test::put(code, 3, table - 7);
    for (u32 i = 0; i < kLast.size(); ++i) {
      test::put(code, table + 4 * i, kLast[i] - distance);
    }
    test::PeSpec spec;
    u32 const bytes = static_cast<u32>(code.size());
    u32 const data = static_cast<u32>(align_up(u64{0x1000} + bytes, 0x1000));
    spec.sections = {{0x1000, bytes, code, test::kCode}, {data, 16, Blob(16), test::kData}};
    auto const file = spec.build();
    auto const report = scan_image({"x.efi", file, {}, {}});
    ASSERT_TRUE(report.has_value());
    for (auto const& f : report->findings) {
      EXPECT_EQ(f.rule->level, ScanLevel::Note) << seed << ": " << f.text;
    }
  }
}

/// Texts among the code that instructions point to: no finding is about one.
TEST(FormatClasses, TextsAmongTheCodeAreNoCode) {
  constexpr std::string_view kLetters = "mlnoVariableWriteProtect spr\n";
  for (u64 seed = 0; seed < 150; ++seed) {
    Dice dice{seed};
    bool const wide = dice.one_in(2);
    Blob code;
    u64 const text_at = 0x20 + dice.below(32);
    auto const append_bytes_of = [&](std::initializer_list<int> bytes) { test::append(code, test::bytes_of(bytes)); };
    append_bytes_of({0x48, 0x8D, 0x0D});
    test::put(code, code.size(), static_cast<u32>(text_at - 7));  // lea rcx, [rip + text]
    append_bytes_of({0x31, 0xC0, 0xC3});
    code.resize(text_at, std::byte{0xCC});
    for (u64 n = 6 + dice.below(20); n > 0; --n) {
      code.push_back(static_cast<std::byte>(kLetters[dice.below(kLetters.size())]));
      if (wide) {
        code.push_back(std::byte{0});
      }
    }
    append_bytes_of({0, 0, 0xC3});
    test::PeSpec spec;
    spec.sections = {{0x1000, static_cast<u32>(code.size()), code, test::kCode}, {0x2000, 16, Blob(16), test::kData}};
    auto const file = spec.build();
    auto const report = scan_image({"x.efi", file, {}, {}});
    ASSERT_TRUE(report.has_value());
    for (auto const& f : report->findings) {
      EXPECT_EQ(f.rule->level, ScanLevel::Note) << seed << ": " << f.text;
    }
  }
}

/// Every byte a branch, or an instruction that ring 3 does not have: bounded in time and memory.
TEST(FormatClasses, CodeThatIsAllBranches) {
  for (int const opcode : {0x74, 0xFA, 0xE8, 0xEB, 0x0F}) {
    Blob code;
    while (code.size() < (1 << 20)) {
      test::append(code, opcode == 0x0F   ? test::bytes_of({0x0F, 0x85, 0x40, 0x10, 0x00, 0x00})
                         : opcode == 0xE8 ? test::bytes_of({0xE8, 0x00, 0x20, 0x00, 0x00})
                         : opcode == 0xFA ? test::bytes_of({0xFA})
                                          : test::bytes_of({opcode, 0x12}));
    }
    test::PeSpec spec;
    spec.sections = {{0x1000, static_cast<u32>(code.size()), code, test::kCode}};
    auto const file = spec.build();
    EXPECT_TRUE(scan_image({"x.efi", file, {}, {}}).has_value());
  }
}

}  // namespace
}  // namespace mm::lab
