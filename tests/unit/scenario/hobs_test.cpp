// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scenario/hobs.hpp"

#include <gtest/gtest.h>

#include "core/abi/guids.hpp"
#include "core/abi/heap_guard.hpp"
#include "core/abi/platform.hpp"

namespace mm::lab {
namespace {

constexpr Guid kName = "11111111-2222-3333-4444-555555555555"_guid;

TEST(Hobs, HeaderPayloadAndPadding) {
  auto const list = encode_hobs({{kName, Bytes(3, std::byte{7})}, {kName, {}}});
  ASSERT_TRUE(list.has_value()) << list.error();
  EXPECT_EQ(format_hex(*list),
            "04 00 20 00 00 00 00 00 11 11 11 11 22 22 33 33 44 44 55 55 55 55 55 55 07 07 07 00 00 00 00 00 "
            "04 00 18 00 00 00 00 00 11 11 11 11 22 22 33 33 44 44 55 55 55 55 55 55");
  EXPECT_TRUE(encode_hobs({})->empty());
}

TEST(Hobs, ThatOfTheHeapGuard) {
  for (bool const message : {false, true}) {
    auto const hob = heap_guard_hob(message);
    auto const same =
        encode_hobs({{abi::kHeapGuardHobGuid, Bytes{std::byte{message ? u8{1} : u8{0}}, {}, {}, {}, {}, {}, {}, {}}}});
    EXPECT_EQ(hob, *same);
  }
}

TEST(Hobs, Limits) {
  EXPECT_TRUE(encode_hobs({{kName, Bytes(0xFFE0)}}).has_value());
  EXPECT_FALSE(encode_hobs({{kName, Bytes(0xFFE1)}}).has_value());
  EXPECT_FALSE(encode_hobs(std::vector<PlatformHob>(6, {kName, Bytes(0xFFE0)})).has_value());
}

TEST(Hobs, NotThoseOfTheBootCode) {
  for (Guid const& name : {guids::gMmCommBufferHobGuid, guids::gEfiMmPeiMmramMemoryReserveGuid,
                           guids::gMmSupervisorPassDownHobGuid, guids::gMmSupervisorDepexHobGuid}) {
    EXPECT_FALSE(encode_hobs({{name, Bytes(64)}}).has_value()) << format_guid(name);
  }
}

TEST(Hobs, Arguments) {
  auto const hob = parse_hob("gEfiVariableGuid:01 02");
  ASSERT_TRUE(hob.has_value()) << hob.error();
  EXPECT_EQ(hob->name, "DDCF3616-3275-4164-98B6-FE85707FFE7D"_guid);
  EXPECT_EQ(hob->data.size(), 2u);
  EXPECT_TRUE(parse_hob("gEfiVariableGuid:")->data.empty());
  for (char const* bad : {"", ":", "01", "zz:01", "gEfiVariableGuid:0", "gEfiVariableGuid:no such file"}) {
    EXPECT_FALSE(parse_hob(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace mm::lab
