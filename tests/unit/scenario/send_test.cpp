// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/judge/check.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/scenario/driver_set.hpp"
#include "tools/lab/scenario/messages.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/tell/driver_report.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>

#include "core/abi/guids.hpp"
#include "core/abi/platform.hpp"
#include "core/abi/syscalls.hpp"
#include "core/supervisor/types.hpp"
#include "tests/support/image_builder.hpp"
#include "tools/lab/firmware/fv_writer.hpp"
#include "tools/lab/firmware/image_text.hpp"

namespace mm::lab {
namespace {

TEST(Messages, OneALine) {
  auto const m = parse_messages(
      "{\"to\":\"11111111-2222-3333-4444-555555555555\",\"data_hex\":\"48 65\"}\n\n"
      "{\"to\":\"SupervisorRequest\",\"data_hex\":\"\"}\r\n{\"to\":\"Hello\",\"data_hex\":\"00\",\"channel\":"
      "\"supervisor\"}",
      "m.jsonl");
  ASSERT_TRUE(m.has_value()) << m.error();
  ASSERT_EQ(m->size(), 3u);
  EXPECT_EQ((*m)[0].data.size(), 2u);
  EXPECT_EQ((*m)[0].channel, abi::Channel::User);
  EXPECT_EQ((*m)[1].channel, abi::Channel::Supervisor);
  EXPECT_EQ((*m)[2].channel, abi::Channel::Supervisor);
}

TEST(Messages, AFileWithoutAny) {
  for (auto const* text : {"", "\n", " \r\n\t\n"}) {
    auto const m = parse_messages(text, "m.jsonl");
    ASSERT_FALSE(m.has_value());
    EXPECT_EQ(m.error(), "m.jsonl:1: no message in it; it takes one JSON object a line");
  }
}

TEST(Messages, ALineWithoutARecipientGoesToTheOther) {
  Guid const other = "11111111-2222-3333-4444-555555555555"_guid;
  auto const m = parse_messages("{\"data_hex\":\"00\"}\n{\"to\":\"Hello\",\"data_hex\":\"01\"}", "m.jsonl", other);
  ASSERT_TRUE(m.has_value()) << m.error();
  EXPECT_EQ((*m)[0].to, other);
  EXPECT_NE((*m)[1].to, other);
  EXPECT_FALSE(parse_messages("{\"data_hex\":\"00\"}", "m.jsonl").has_value());
}

TEST(Messages, EveryMalformedLineHasItsPlace) {
  for (char const* line :
       {"x", "[]", "{}", "{\"to\":3,\"data_hex\":\"\"}", "{\"to\":\"zz\",\"data_hex\":\"\"}",
        "{\"to\":\"Hello\",\"data_hex\":\"4\"}", "{\"to\":\"Hello\",\"data_hex\":\"\",\"chanel\":\"user\"}",
        "{\"to\":\"Hello\",\"data_hex\":\"\",\"channel\":\"both\"}"}) {
    auto const m = parse_messages(std::string{"{\"to\":\"Hello\",\"data_hex\":\"\"}\n"} + line, "m.jsonl");
    ASSERT_FALSE(m.has_value()) << line;
    EXPECT_EQ(m.error().substr(0, 11), "m.jsonl:2: ") << m.error();
  }
}

TEST(Messages, TooLongForTheBuffer) {
  Message m;
  m.data.resize(steps::kMaxStepBytes);
  EXPECT_FALSE(message_step(m).has_value());
  m.data.resize(steps::kMaxStepBytes - sizeof(abi::CommunicateHeader));
  EXPECT_TRUE(message_step(m).has_value());
}

TEST(Messages, MoreThanAreTaken) {
  std::string const lines = "{\"data_hex\":\"00\"}\n\n{\"data_hex\":\"01\"}\n";
  EXPECT_TRUE(parse_messages(lines, "m.jsonl", Guid{1}, 2).has_value());
  auto const more = parse_messages(lines + lines, "m.jsonl", Guid{1}, 2);
  ASSERT_FALSE(more.has_value());
  EXPECT_EQ(more.error(), "m.jsonl:4: more than 2 messages: split the file");
}

TEST(Messages, AProgramSendsEachAsAStepOfAScenarioWould) {
  std::vector<Message> const messages{{Guid{1}, Bytes(3), abi::Channel::User},
                                      {Guid{2}, Bytes(0), abi::Channel::Supervisor},
                                      {Guid{3}, Bytes(16), abi::Channel::User}};
  Scenario s;
  s.dispatch = false;
  for (auto const& m : messages) {
    s.steps.push_back(*message_step(m));
  }
  EXPECT_EQ(message_program(messages), encode_program(s).bytes);
}

TEST(DriverSet, ForeignCoresAndOtherFilesAreNamedAndNotRun) {
  Guid const name = "11111111-2222-3333-4444-555555555555"_guid;
  auto const fv = *write_fv({{.name = guids::gMmSupervisorRing3BrokerGuid,
                              .type = 0x0E,
                              .depex = {},
                              .pe32 = Bytes(9),
                              .raw = {},
                              .ui = "Broker"},
                             {.name = name, .type = 0x0F, .depex = {}, .pe32 = Bytes(9), .raw = {}, .ui = "Core"},
                             {.name = name, .type = 0x0A, .depex = {}, .pe32 = Bytes(9), .raw = {}, .ui = "Old"},
                             {.name = name, .type = 0x0E, .depex = {}, .pe32 = Bytes(9), .raw = {}, .ui = "Bad"}});
  auto const listing = list_images(fv);
  ASSERT_TRUE(listing.has_value());
  DriverSet set;
  add_volume(set, *listing);
  EXPECT_TRUE(set.images.empty());
  ASSERT_EQ(set.not_run.size(), 4u);
  EXPECT_EQ(set.not_run[0].state, "replaced by ours");
  EXPECT_EQ(set.not_run[1].state, "replaced by ours");
  EXPECT_EQ(set.not_run[2].state, "not run");
  EXPECT_EQ(set.not_run[2].detail, "MM (traditional)");
  EXPECT_EQ(set.not_run[3].state, "refused");
}

TEST(DriverSet, ASecondCopyIsNotRun) {
  auto const pe = test::clang_image().build();
  auto const fv = *write_fv({{.name = "11111111-2222-3333-4444-555555555555"_guid,
                              .type = 0x0E,
                              .depex = {},
                              .pe32 = Bytes{pe.begin(), pe.end()},
                              .raw = {},
                              .ui = "Twice"}});
  auto const listing = list_images(fv);
  ASSERT_TRUE(listing.has_value());
  DriverSet set;
  add_volume(set, *listing);
  add_volume(set, *listing);
  EXPECT_EQ(set.images.size(), 1u);
  ASSERT_EQ(set.not_run.size(), 1u);
  EXPECT_EQ(set.not_run[0].state, "not run");
  EXPECT_EQ(set.not_run[0].detail, "(a second copy of this file)");
}

TEST(Names, OfEdk2) {
  Guid const rsc = "2FF29FA7-5E80-4ED9-B380-017D3C554FF4"_guid;
  EXPECT_EQ(guid_name(rsc), "gEfiMmRscHandlerProtocolGuid");
  EXPECT_EQ(named_guid(rsc), "gEfiMmRscHandlerProtocolGuid (2FF29FA7-5E80-4ED9-B380-017D3C554FF4)");
  EXPECT_EQ(*find_guid("gEfiMmRscHandlerProtocolGuid"), rsc);
  EXPECT_EQ(*find_guid("gEfiSmmRscHandlerProtocolGuid"), rsc) << "the older name";
  EXPECT_EQ(named_guid(Guid{}), format_guid(Guid{}));
}

TEST(ImageText, ProblemsHaveTheirSubject) {
  auto image = test::clang_image().build();
  test::put(image, test::kTable + 2 * 40 + 36, u32{0xE000'0040});
  EXPECT_NE(describe_image(image).problem.find("section 2 ''"), std::string::npos) << describe_image(image).problem;
}

TEST(ImageText, Instructions) {
  auto spec = test::clang_image();
  spec.sections[0].raw[0] = std::byte{0xEC};
  spec.sections[0].raw[1] = std::byte{0x06};
  auto const image = spec.build();
  EXPECT_EQ(instruction_at(image, 0x1000)->text, "in al, dx");
  EXPECT_TRUE(instruction_at(image, 0x1000)->privileged);
  EXPECT_FALSE(instruction_at(image, 0x1001).has_value()) << "06 is no instruction";
  EXPECT_EQ(instruction_at(image, 0x1002)->text, "nop");
  EXPECT_FALSE(instruction_at(image, 0x1002)->privileged);
  EXPECT_FALSE(instruction_at(image, 0x1028).has_value()) << "behind the section";
  EXPECT_FALSE(instruction_at(Bytes{}, 0).has_value());
}

hal::TraceEvent event(hal::TraceKind kind, u64 a, u64 b, u64 c, u64 d) {
  hal::TraceEvent e;
  e.kind = kind;
  e.a = a;
  e.b = b;
  e.c = c;
  e.d = d;
  return e;
}

TEST(Dispatch, OrderAndWhoWaitsForWhat) {
  Guid const missing = "11111111-2222-3333-4444-555555555555"_guid;
  Prepared p;
  MachineRun run;
  for (u8 n = 1; n <= 3; ++n) {
    ImageSpec spec;
    spec.name = std::string{"Driver"} + static_cast<char>('0' + n);
    spec.guid.data1 = n;
    spec.depex_content = Bytes{std::byte{6}, std::byte{8}};
    p.scenario.images.push_back(spec);
    run.trace.push_back(event(hal::TraceKind::ImageLoaded, n * 0x10000ull, 0x4000, n, 0));
  }
  auto const note = [&](abi::UserNote kind, u64 a, u64 b = 0) {
    run.trace.push_back(event(hal::TraceKind::UserNote, static_cast<u64>(kind), a, b, 0));
  };
  for (u64 const base : {0x30000ull, 0x10000ull}) {
    note(abi::UserNote::DriverEntered, base);
    note(abi::UserNote::DriverReturned, base);
  }
  for (int pass = 0; pass < 2; ++pass) {
    auto const words = std::bit_cast<std::array<u64, 2>>(missing);
    note(abi::UserNote::DriverWaiting, 0x20000);
    note(abi::UserNote::DriverNeeds, words[0], words[1]);
  }
  auto const reports = report_drivers(p, run);
  ASSERT_EQ(reports.size(), 3u);
  EXPECT_EQ(reports[0].order, 2u);
  EXPECT_EQ(reports[1].order, 0u);
  EXPECT_EQ(reports[1].needs, std::vector{missing});
  EXPECT_EQ(describe_dispatch(reports),
            (std::vector<std::string>{"dispatch order: Driver3, Driver1",
                                      "Driver2 waits for 11111111-2222-3333-4444-555555555555 (depex: TRUE, END)"}));
  EXPECT_EQ(describe_dispatch({}), std::vector<std::string>{"dispatch order: nothing was dispatched"});
}

/// One driver at 0x10000 that prints, and what its report says.
struct Printing : testing::Test {
  Printing() {
    ImageSpec spec;
    spec.name = "Driver";
    spec.guid.data1 = 1;
    p.scenario.images.push_back(spec);
    run.trace.push_back(event(hal::TraceKind::ImageLoaded, 0x10000, 0x4000, 1, 0));
    note(abi::UserNote::DriverEntered);
  }
  void note(abi::UserNote kind, u64 at = 0x10000) {
    run.trace.push_back(event(hal::TraceKind::UserNote, static_cast<u64>(kind), at, 0, 0));
  }
  void out(u64 port, u64 value, u64 status = 0) {
    run.trace.push_back(event(hal::TraceKind::Syscall, static_cast<u64>(abi::Syscall::IoWrite), port, 0, value));
    run.trace.back().f = status;
  }
  void print(std::string_view text, u64 port = 0x3F8) {
    for (char const c : text) {
      out(port, static_cast<u8>(c));
    }
  }
  void fault(u64 vector) { run.trace.push_back(event(hal::TraceKind::Fault, vector, 4, 0x11000, 0x18)); }
  std::string detail() const { return report_drivers(p, run).front().detail; }

  Prepared p;
  MachineRun run;
};

TEST_F(Printing, TheLastLineBeforeTheFault) {
  print("first\r\nASSERT [Driver] a.c(1): Hob\r\n\r\n");
  fault(supervisor::kVectorBudget);
  EXPECT_EQ(detail(),
            "in its entry point: it ran longer than its budget, at image offset 0x1000; it printed: ASSERT [Driver] "
            "a.c(1): Hob");
  EXPECT_EQ(describe_dispatch(report_drivers(p, run)).back(), "Driver: faulted " + detail());
}

TEST_F(Printing, ALineThatDidNotEnd) {
  print("first\nhalf", platform::kPortDebugConsole);
  fault(14);
  EXPECT_EQ(detail(), "in its entry point: #PF, error 0x4, at image offset 0x1000, address 0x18; it printed: half");
}

TEST_F(Printing, ADriverThatDidNotComeBack) {
  print("waiting\n");
  EXPECT_EQ(detail(), "its entry point did not return; it printed: waiting");
}

TEST_F(Printing, DivisorsRefusedWritesAndOtherPortsAreNoText) {
  out(0x3FB, 0x80);
  out(0x3F8, 'x');
  out(0x3FB, 0x03);
  out(0x80, 'y');
  out(0x3F8, 'z', 1);
  print("\x01");
  fault(14);
  EXPECT_TRUE(detail().ends_with("; it printed: .")) << detail();
}

TEST_F(Printing, WhatAnEarlierHandlerPrintedIsForgotten) {
  print("old\n");
  note(abi::UserNote::DriverReturned);
  note(abi::UserNote::HandlerEntered, 0x11000);
  fault(14);
  EXPECT_EQ(detail(), "in a handler: #PF, error 0x4, at image offset 0x1000, address 0x18");
}

TEST_F(Printing, AnEndlessLineIsCut) {
  print(std::string(1000, 'a'));
  fault(14);
  EXPECT_TRUE(detail().ends_with("; it printed: " + std::string(200, 'a')));
}

TEST(Status, SpecificationNames) {
  EXPECT_EQ(efi_status_name(static_cast<u64>(Status::InvalidParameter)), "INVALID_PARAMETER");
  EXPECT_EQ(efi_status_name(0), "SUCCESS");
  EXPECT_EQ(efi_status_name(0x1234), "0x1234");
}

}  // namespace
}  // namespace mm::lab
