// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/scenario/send.hpp"

#include <gtest/gtest.h>

#include "core/abi/guids.hpp"
#include "sim/scenario/fv_writer.hpp"

namespace mm::scenario {
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
  m.data.resize(communication::kMaxStepBytes);
  EXPECT_FALSE(message_step(m).has_value());
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

TEST(Status, SpecificationNames) {
  EXPECT_EQ(efi_status_name(static_cast<u64>(Status::InvalidParameter)), "INVALID_PARAMETER");
  EXPECT_EQ(efi_status_name(0), "SUCCESS");
  EXPECT_EQ(efi_status_name(0x1234), "0x1234");
}

}  // namespace
}  // namespace mm::scenario
