// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/abi/heap_guard.hpp"
#include "core/abi/syscalls.hpp"
#include "core/supervisor/types.hpp"
#include "tools/lab/fuzzing/driver_seeds.hpp"
#include "tools/lab/fuzzing/finding_file.hpp"
#include "tools/lab/fuzzing/minimise.hpp"

namespace mm::lab {
namespace {

namespace fs = std::filesystem;
namespace event = hal::event;

constexpr Guid kFirst = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4EC001"_guid;
constexpr Guid kSecond = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4EC002"_guid;
constexpr Guid kImage = "9A3D0C11-52C0-4E6B-8B0E-6D5E000EC001"_guid;
constexpr u64 kBase = 0x0F10'0000, kBytes = 0x4000, kHandler = kBase + 0x1200;

Bytes bytes(std::string_view hex) { return *parse_hex(hex); }

TEST(DriverInput, AnyBytesAreMessages) {
  std::vector<DriverMessage> const two{{1, 0, bytes("AABB")}, {0, 0, {}}};
  auto const input = join_messages(two);
  EXPECT_EQ(split_messages(input, 8, 100), two);
  EXPECT_EQ(split_messages(input, 1, 100).size(), 1u);
  EXPECT_EQ(split_messages(input, 8, 1)[0].data, bytes("AA"));
  EXPECT_EQ(split_messages(input, 8, 1)[1], two[1]) << "what is cut does not become a message";
  EXPECT_TRUE(split_messages(bytes("000102"), 8, 100).empty());
  EXPECT_EQ(split_messages(bytes("0000FFFF01"), 8, 100)[0].data, bytes("01")) << "a length beyond the end";
}

TEST(Minimise, DropsWhatIsNotNeeded) {
  std::vector<DriverMessage> messages;
  for (u8 i = 0; i < 6; ++i) {
    messages.push_back({i, 0, Bytes(300, std::byte{0x55})});
  }
  messages[4].data[7] = std::byte{0x99};
  auto const still = [](std::span<DriverMessage const> candidate) {
    return std::ranges::any_of(candidate, [](DriverMessage const& m) {
      return m.handler == 4 && m.data.size() > 7 && m.data[7] == std::byte{0x99};
    });
  };
  auto const small = minimise(messages, 2000, still);
  ASSERT_EQ(small.messages.size(), 1u);
  EXPECT_EQ(small.messages[0].data, bytes("00 00 00 00 00 00 00 99"));
  EXPECT_LE(small.tries, 2000u);
  auto const none = minimise(messages, 3, still);
  EXPECT_EQ(none.tries, 3u);
  EXPECT_TRUE(still(none.messages));
}

struct JudgeTest : testing::Test {
  template <typename E>
  void add(E const& e) {
    trace.push_back(hal::pack(e, 0, 2));
  }
  void enter() { add(event::UserNote{abi::UserNote::HandlerEntered, kHandler, 0}); }
  std::optional<DriverFinding> judged(OracleSet allowed = 0) { return judge(machine, trace, allowed); }

  JudgedMachine machine{{{kImage, "Weak", kBase, kBytes}}, {0x0F00'0000, 0x0100'0000}};
  std::vector<hal::TraceEvent> trace;
};

TEST_F(JudgeTest, AFaultIsWhereItsInstructionIs) {
  enter();
  add(event::Fault{14, 7, kBase + 0x1234, 0x0F00'8000, 0, abi::UserCommand::UserRequest});
  auto const found = judged();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->key(), "fault-Weak-1234");
  EXPECT_THAT(found->what, testing::HasSubstr("the supervisor's MMRAM"));
  EXPECT_FALSE(judged(bit_of(Oracle::Fault)));
}

TEST_F(JudgeTest, AFaultElsewhereIsThatOfTheHandler) {
  enter();
  add(event::Fault{14, 0x14, 0x1234'5678, 0x1234'5678, 0, abi::UserCommand::UserRequest});
  ASSERT_TRUE(judged());
  EXPECT_EQ(judged()->key(), "fault-Weak-1200");
  EXPECT_THAT(judged()->what, testing::HasSubstr("a call out"));
}

TEST_F(JudgeTest, BudgetAndRefusedCalls) {
  enter();
  add(event::Syscall{abi::Syscall::RdMsr, 0x10, 0, 0, 0, Status::AccessDenied});
  ASSERT_TRUE(judged());
  EXPECT_EQ(judged()->key(), "refused-call-Weak-1200");
  EXPECT_THAT(judged()->what, testing::HasSubstr("RDMSR refused: ACCESS_DENIED"));
  trace.pop_back();
  add(event::Fault{supervisor::kVectorBudget, 0, kBase + 0x20, 0, 0, abi::UserCommand::UserRequest});
  EXPECT_EQ(judged()->key(), "budget-Weak-20");
}

TEST_F(JudgeTest, WhatTheHeapGuardSaw) {
  struct Case {
    abi::DriverDefect defect;
    std::string_view key, words;
  };
  for (auto const& c : {Case{abi::DriverDefect::Overrun, "pool-overflow-Weak-1200", "beside the pool block at 0x40"},
                        Case{abi::DriverDefect::InvalidFree, "invalid-free-Weak-1200", "is not allocated"},
                        Case{abi::DriverDefect::DoubleFree, "invalid-free-Weak-1200", "a second time"},
                        Case{abi::DriverDefect::UnwrittenReply, "uninitialised-reply-Weak-1200", "byte 64"},
                        Case{abi::DriverDefect::ReplySize, "reply-size-Weak-1200", "64 bytes"}}) {
    trace.clear();
    enter();
    add(event::UserNote{abi::UserNote::HandlerReturned, kHandler, 0});
    add(event::UserNote{abi::UserNote::DriverDefect, static_cast<u64>(c.defect), 64});
    ASSERT_TRUE(judged()) << c.key;
    EXPECT_EQ(judged()->key(), c.key);
    EXPECT_THAT(judged()->what, testing::HasSubstr(std::string{c.words}));
    EXPECT_FALSE(judged()->aborted);
    EXPECT_FALSE(judged(bit_of(judged()->oracle)));
  }
}

TEST_F(JudgeTest, AFaultHasTheNameThatTheHeapGuardGivesIt) {
  struct Case {
    abi::DriverDefect defect;
    std::string_view key;
  };
  for (auto const& c : {Case{abi::DriverDefect::BesideBlock, "pool-overflow-Weak-34"},
                        Case{abi::DriverDefect::FreedMemory, "use-after-free-Weak-34"},
                        Case{abi::DriverDefect::BeyondMessage, "message-bounds-Weak-34"}}) {
    trace.clear();
    enter();
    add(event::Fault{14, 4, kBase + 0x34, 0x0F20'0000, 0, abi::UserCommand::UserRequest});
    add(event::UserNote{abi::UserNote::DriverDefect, static_cast<u64>(c.defect), 0x0F20'0000});
    ASSERT_TRUE(judged()) << c.key;
    EXPECT_EQ(judged()->key(), c.key);
    ASSERT_EQ(judged()->owed.size(), 2u) << "the fault, and its name";
  }
}

TEST_F(JudgeTest, WhatGoesWellIsNoFinding) {
  enter();
  add(event::Syscall{abi::Syscall::AllocPage, 0, 6, 1, 0x0F20'0000, Status::Success});
  add(event::UserNote{abi::UserNote::HandlerReturned, kHandler, static_cast<u64>(Status::InvalidParameter)});
  EXPECT_FALSE(judged());
  add(event::UserNote{abi::UserNote::HandlerReturned, kHandler, 0x0F20'1238});
  ASSERT_TRUE(judged());
  EXPECT_EQ(judged()->oracle, Oracle::ReplyStatus);
}

TEST(Oracles, AnUnknownNameIsRefusedWithTheList) {
  std::vector<std::string> names{"fault", "budget"};
  EXPECT_EQ(parse_oracles(names), bit_of(Oracle::Fault) | bit_of(Oracle::Budget));
  names.emplace_back("fualt");
  auto const refused = parse_oracles(names);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(), testing::HasSubstr("--allow fualt: no such oracle; there are fault, refused-call"));
}

TEST(Handlers, ThoseOfDriversThatAreThere) {
  std::vector<hal::TraceEvent> trace;
  auto const note = [&](abi::UserNote kind, u64 a, u64 b) {
    trace.push_back(hal::pack(event::UserNote{kind, a, b}, 0, 1));
  };
  auto const registers = [&](Guid const& guid, u64 owner) {
    auto const words = std::bit_cast<std::array<u64, 2>>(guid);
    note(abi::UserNote::HandlerRegistered, words[0], words[1]);
    note(abi::UserNote::HandlerAt, owner + 0x100, owner);
  };
  registers(kFirst, kBase);
  registers(kFirst, kBase);
  registers({}, kBase);
  registers(kSecond, kBase + kBytes);
  EXPECT_THAT(registered_handlers(trace), testing::ElementsAre(kFirst, kSecond));
  note(abi::UserNote::DriverContained, kBase + kBytes, 0);
  EXPECT_THAT(registered_handlers(trace), testing::ElementsAre(kFirst));
}

struct Folder : testing::Test {
  void SetUp() override {
    path = fs::path{testing::TempDir()} / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(path);
    fs::create_directories(path);
  }
  void TearDown() override { fs::remove_all(path); }
  void write(std::string const& name, std::string_view text) const { std::ofstream{path / name} << text; }
  fs::path path;
};

TEST_F(Folder, SeedsOfFilesAndFolders) {
  std::vector<Guid> const handlers{kFirst, kSecond};
  EXPECT_THAT(read_seeds(path, handlers).error(), testing::EndsWith("no message in it"));
  write("plain", "ab");
  EXPECT_EQ(read_seeds(path, handlers)->size(), 2u) << "to each handler";
  write("m.jsonl", "{\"to\": \"" + format_guid(kSecond) + "\", \"data_hex\": \"01\"}\n{\"data_hex\": \"02\"}\n");
  auto const seeds = read_seeds(path / "m.jsonl", handlers);
  ASSERT_TRUE(seeds) << seeds.error();
  ASSERT_EQ(seeds->size(), 3u) << "each alone, then both";
  EXPECT_EQ((*seeds)[0], bytes("01 00 01 00 01"));
  EXPECT_EQ((*seeds)[2], bytes("01 00 01 00 01 00 00 01 00 02"));
  write("m.jsonl", "{\"to\": \"Hello\", \"data_hex\": \"01\"}\n");
  EXPECT_THAT(read_seeds(path / "m.jsonl", handlers).error(), testing::HasSubstr("which is not fuzzed"));
  write("m.jsonl", "nonsense\n");
  EXPECT_THAT(read_seeds(path, handlers).error(), testing::HasSubstr("m.jsonl:1"));
  EXPECT_FALSE(read_seeds(path / "plain", handlers)) << "a file that is no list of messages";
}

TEST_F(Folder, ASessionIsReadAsItWasWritten) {
  DriverSession const session{{kFirst, kSecond}, bit_of(Oracle::Budget), 3, 77, {"fault-Weak-12"}};
  ASSERT_TRUE(write_session(path, session));
  auto const read = read_session(path);
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->handlers, session.handlers);
  EXPECT_EQ(read->allowed, session.allowed);
  EXPECT_EQ(read->most_messages, 3u);
  EXPECT_EQ(read->most_bytes, 77u);
  EXPECT_EQ(read->known, session.known);
  write(std::string{kSessionFile}, "{\"handlers\": []}");
  EXPECT_THAT(read_session(path).error(), testing::HasSubstr("session.json"));
  write(std::string{kSessionFile}, "{");
  EXPECT_FALSE(read_session(path));
}

TEST(FindingFile, ExpectsTheDefect) {
  Prepared prepared;
  prepared.scenario.boot.fault_policy = 1;
  DriverSession const session{{kFirst}, 0, 8, 100};
  std::vector<DriverMessage> const messages{{0, 0, bytes("0102")}, {0, 0, {}}};
  DriverFinding finding{Oracle::Fault, "Weak", kImage, 0x12, "#PF", true, {{hal::TraceKind::Fault, {{'a', 14}}}}};
  auto const toml = finding_toml("# c\nname = 'x'\nschema = 1\n", prepared, session, finding, messages);
  ASSERT_TRUE(toml);
  EXPECT_THAT(*toml, testing::HasSubstr("name = \"fault-Weak-12\"\nschema = 1\n"));
  EXPECT_THAT(*toml, testing::HasSubstr("hex = \"0102\"\n"));
  EXPECT_THAT(*toml, testing::HasSubstr("{ kind = \"Fault\", a = \"0xe\" }"));
  EXPECT_THAT(*toml, testing::HasSubstr("expect = { status = \"Aborted\" }"));
  EXPECT_THAT(*toml, testing::Not(testing::HasSubstr("targets")));
  finding.oracle = Oracle::Budget;
  prepared.scenario.boot.fault_policy = 0;
  auto const stops = finding_toml("schema = 1\n", prepared, session, finding, messages);
  EXPECT_THAT(*stops, testing::HasSubstr("targets = [\"sim\"]"));
  EXPECT_THAT(*stops, testing::HasSubstr("halted = \"UserBudget\""));
  finding.owed.clear();
  EXPECT_FALSE(finding_toml("schema = 1\n", prepared, session, finding, messages)) << "nothing that a run can show";
}

}  // namespace
}  // namespace mm::lab
