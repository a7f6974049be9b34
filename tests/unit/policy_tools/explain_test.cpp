// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy_advice/explain.hpp"

#include <gtest/gtest.h>

#include "tests/unit/policy_tools/example.hpp"
#include "tools/lab/policy/xml.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

TEST(PolicyAccess, EveryFormIsRead) {
  struct Row {
    std::string_view text;
    Access access;
  };
  for (auto const& [text, access] :
       {Row{"MSR 0xC0000080 write", {.type = Type::Msr, .address = 0xC000'0080, .access = 2}},
        Row{"msr 27 READ", {.type = Type::Msr, .address = 27, .access = 1}},
        Row{"IO 0x3F8 write 1", {.type = Type::Io, .address = 0x3F8, .width = 1, .access = 2}},
        Row{"  IO\t0xCFC  read 4 ", {.type = Type::Io, .address = 0xCFC, .width = 4, .access = 1}},
        Row{"IO 0xFFFF read", {.type = Type::Io, .address = 0xFFFF, .width = 1, .access = 1}},
        Row{"INSTRUCTION hlt", {.type = Type::Instruction, .address = 2, .access = 4}},
        Row{"SAVESTATE RAX read", {.type = Type::SaveState, .address = 0}},
        Row{"savestate io_trap read during IN", {.type = Type::SaveState, .address = 1, .trap = policy::IoTrap::Read}},
        Row{"SAVESTATE RBX during out",
            {.type = Type::SaveState, .address = 0xFFFF'FFFF, .trap = policy::IoTrap::Write}},
        Row{"MEMORY 0x1000 execute 16", {.type = Type::Mem, .address = 0x1000, .width = 16, .access = 4}},
        Row{"0xFED40000", {.type = Type::Mem, .address = 0xFED4'0000, .access = 1}}}) {
    auto const got = parse_access(text);
    ASSERT_TRUE(got.has_value()) << text << ": " << got.error();
    EXPECT_EQ(*got, access) << text;
  }
}

TEST(PolicyAccess, WhatIsNoAccessSaysWhatIs) {
  for (std::string_view const text : {"",
                                      "  ",
                                      "MSR",
                                      "MSR 1",
                                      "MSR x read",
                                      "MSR 1 execute",
                                      "MSR 1 read 4",
                                      "MSR 0x100000000 read",
                                      "MSR 1 raed",
                                      "IO 0x10000 read",
                                      "IO 1 read 3",
                                      "IO 1 read 0",
                                      "IO 0xFFFF read 2",
                                      "IO 1 read 1 1",
                                      "INSTRUCTION",
                                      "CLI",
                                      "INSTRUCTION RSM",
                                      "INSTRUCTION CLI HLT",
                                      "SAVESTATE",
                                      "SAVESTATE RAX write",
                                      "SAVESTATE RAX during",
                                      "SAVESTATE RAX read during SMI",
                                      "MEMORY 0xFFFFFFFFFFFFFFFF read 2",
                                      "MEMORY 1 read 0",
                                      "PCI 1 read"}) {
    auto const got = parse_access(text);
    ASSERT_FALSE(got.has_value()) << text;
    EXPECT_NE(got.error().find("an access is one of"), std::string::npos) << got.error();
  }
}

TEST(PolicyExplain, InWords) {
  auto const policy = read_xml(test::kExamplePolicy)->policy;
  struct Row {
    std::string_view text;
    bool allowed;
    std::optional<std::size_t> entry;
    std::string_view word;
    std::size_t near_misses;
  };
  for (auto const& [text, allowed, entry, word, near_misses] :
       {Row{"IO 0xCF8 write 4", false, 0, "IO 0xCF8-0xCFB Write | StrictWidth", 0},
        Row{"IO 0xCF8 write 1", true, {}, "no entry of the deny list", 1},
        Row{"IO 0xCF8 read 4", true, {}, "no entry of the deny list", 1},
        Row{"IO 0xCFE write 1", false, 1, "entry 2 of the deny list", 0},
        Row{"MSR 0xC0000082 read", false, 1, "0xC0000081-0xC0000084", 0},
        Row{"MSR 0x8B write", true, {}, "so the access is allowed", 0},
        Row{"MSR 0x174 write", false, {}, "refused by the core, whatever the policy says: IA32_SYSENTER_CS", 0},
        Row{"MSR 0x174 read", true, {}, "so the access is allowed", 0}, Row{"IO 0xB2 write 1", false, {}, "APM_CNT", 0},
        Row{"INSTRUCTION HLT", false, 2, "nothing wakes a CPU in MM", 0},
        Row{"INSTRUCTION WBINVD", true, 1, "WBINVD Execute", 0},
        Row{"SAVESTATE RAX read during OUT", true, 0, "RAX LimitedRead IOWRITE", 0},
        Row{"SAVESTATE RAX read during IN", false, {}, "no entry of the allow list", 1},
        Row{"SAVESTATE OTHER read", false, {}, "so the access is refused", 0},
        Row{"MEMORY 0x1000 read", true, {}, "page tables", 0}}) {
    auto const x = explain(policy, *parse_access(text));
    EXPECT_EQ(x.status == Status::Success, allowed) << text;
    EXPECT_EQ(x.entry, entry) << text;
    EXPECT_NE(x.reason.find(word), std::string::npos) << text << ": " << x.reason;
    EXPECT_EQ(x.near_misses.size(), near_misses) << text;
    EXPECT_TRUE(text.starts_with("MEM") || x.list.line.has_value());
  }
  Policy const none;
  EXPECT_NE(explain(none, *parse_access("MSR 1 read")).reason.find("no MSR list"), std::string::npos);
  EXPECT_NE(explain(none, *parse_access("SAVESTATE RAX")).reason.find("no SAVESTATE list"), std::string::npos);
}

}  // namespace
}  // namespace mm::policy_tools
