// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scenario/devices.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/abi/comm.hpp"
#include "core/abi/hob.hpp"
#include "tools/lab/scenario/scenario.hpp"

namespace mm::lab {
namespace {

using testing::HasSubstr;

/// What the reader says of a scenario with this device; empty: nothing.
std::string problem(std::string const& device, std::string const& head = "targets = [\"sim\"]\n") {
  auto const read = parse_scenario("schema = 1\n" + head + "[[device]]\n" + device, "x.toml", "images");
  return read ? "" : read.error();
}

TEST(Devices, EachMistakeIsNamedWithItsLine) {
  std::pair<char const*, char const*> const cases[] = {
      {"at = 0xFED00000\nbytes = 0x1000", "needs a kind"},
      {"kind = \"flash\"\nbytes = 0x10000", "either at, an address, or port"},
      {"kind = \"registers\"\nat = 0xFED00000\nport = 4\nbytes = 1", "either at, an address, or port"},
      {"kind = \"registers\"\nat = 0xFED00000\nbytes = 0", "it has no bytes"},
      {"kind = \"registers\"\nat = 0xFED00800\nbytes = 0x1000", "begins and ends with a page"},
      {"kind = \"registers\"\nat = 0x1000\nbytes = 0x1000", "RAM ends at 0x10000000"},
      {"kind = \"registers\"\nat = 0xFFFFF000\nbytes = 0x2000", "ends below 4 GiB"},
      {"kind = \"registers\"\nat = 0xC0000000\nbytes = 0x8000000", "at most 64 MiB"},
      {"kind = \"registers\"\nat = 0xFEE00000\nbytes = 0x1000", "the local APIC is at"},
      {"kind = \"registers\"\nat = 0xB8000000\nbytes = 0x1000", "PCI configuration space is at"},
      {"kind = \"registers\"\nport = 0xB0\nbytes = 4", "APM is at 0xb2"},
      {"kind = \"registers\"\nport = 0xFFFF\nbytes = 2", "ports end at 0xffff"},
      {"kind = \"registers\"\nport = 0x1800\nbytes = 4\nregisters = [{ at = 2, width = 4 }]",
       "not inside its 0x4 bytes"},
      {"kind = \"registers\"\nport = 0x1800\nbytes = 4\nregisters = [{ at = 0xFFFFFFFF, width = 8 }]", "not inside"},
      {"kind = \"registers\"\nport = 0x1800\nbytes = 4\nregisters = [{ at = 0, width = 2 }, { at = 1, width = 1 }]",
       "overlap"},
      {"kind = \"registers\"\nport = 0x1800\nbytes = 4\nregisters = [{ at = 0, width = 3 }]", "width is 1, 2, 4 or 8"},
      {"kind = \"registers\"\nport = 0x1800\nbytes = 4\nregisters = [{ at = 0, width = 1, value = 0x100 }]", "value"},
      {"kind = \"registers\"\nport = 0x1800\nbytes = 4\nregisters = [{ at = 0, reads = [] }]", "nothing to read"},
      {"kind = \"registers\"\nport = 0x1800\nbytes = 4\nregisters = [{ at = 0, reads = [\"x\"] }]", "reads"},
      {"kind = \"registers\"\nport = 0x1800\nbytes = 4\nregisters = [{ at = 0, reads = 1, clears = 1 }]",
       "either reads, or value"},
      {"kind = \"registers\"\nport = 0x1800\nbytes = 4\nwrites = [{ at = 0, width = 8, value = 1 }]",
       "comes as two of 4"},
      {"kind = \"registers\"\nport = 0x1800\nbytes = 4\nwrites = [{ at = 0 }]", "value"},
      {"kind = \"registers\"\nport = 0x1800\nbytes = 4\nspeed = 1", "speed"},
      {"kind = \"flash\"\nat = 0xFFC00000\nbytes = 0x7000", "even number of blocks"},
      {"kind = \"flash\"\nat = 0xFF000000\nbytes = 0x10000", "between 0xff800000 and the ROM"},
      {"kind = \"flash\"\nat = 0xFFEF0000\nbytes = 0x20000", "between 0xff800000 and the ROM"},
      {"kind = \"flash\"\nat = 0xFFC00000\nbytes = 0x10000\npad = 0x10001", "0x10001"},
      {"kind = \"flash\"\nat = 0xFFC00000\nbytes = 0x10000\nfill = 1", "no port, fill"},
      {"kind = \"flash\"\nport = 0x1800\nbytes = 0x10000", "no port, fill"},
  };
  for (auto const& [device, what] : cases) {
    auto const said = problem(device);
    if (std::string_view{what} == "0x10001") {
      EXPECT_THAT(said, HasSubstr("65537 bytes of content")) << device;
    } else {
      EXPECT_THAT(said, HasSubstr(what)) << device;
    }
    EXPECT_THAT(said, HasSubstr("x.toml:")) << device;
  }
}

TEST(Devices, TheyAreBesideOneAnother) {
  std::string const one = "kind = \"registers\"\nname = \"a\"\nport = 0x1800\nbytes = 4\n[[device]]\n";
  EXPECT_THAT(problem(one + "kind = \"registers\"\nname = \"b\"\nport = 0x1802\nbytes = 4"),
              HasSubstr("overlaps device \"a\""));
  EXPECT_THAT(problem(one + "kind = \"registers\"\nname = \"a\"\nport = 0x1900\nbytes = 4"),
              HasSubstr("another device has this name"));
  EXPECT_EQ(problem(one + "kind = \"registers\"\nname = \"b\"\nat = 0xFED00000\nbytes = 0x1000"), "");
  std::string const flash = "kind = \"flash\"\nat = 0xFFC00000\nbytes = 0x10000\n[[device]]\n";
  EXPECT_THAT(problem(flash + "kind = \"flash\"\nname = \"b\"\nat = 0xFFD00000\nbytes = 0x10000"),
              HasSubstr("one flash"));
}

TEST(Devices, OnlyAFlashIsForQemu) {
  EXPECT_THAT(problem("kind = \"registers\"\nport = 0x1800\nbytes = 4", ""), HasSubstr("targets = [\"sim\"]"));
  EXPECT_EQ(problem("kind = \"flash\"\nat = 0xFFC00000\nbytes = 0x10000", ""), "");
}

TEST(Devices, AWindowIsOpenedByAHob) {
  DeviceSpec d;
  d.base = 0xFED0'0000;
  d.bytes = 0x2000;
  auto const hobs = device_hobs(d);
  ASSERT_EQ(hobs.size(), sizeof(abi::HobGuid) + sizeof(abi::UnblockMemoryParams));
  abi::UnblockMemoryParams params;
  std::memcpy(&params, hobs.data() + sizeof(abi::HobGuid), sizeof params);
  EXPECT_EQ(params.descriptor.physical_start, d.base);
  EXPECT_EQ(params.descriptor.number_of_pages, 2u);
  d.open = false;
  EXPECT_TRUE(device_hobs(d).empty());
  d.open = true;
  d.ports = true;
  EXPECT_TRUE(device_hobs(d).empty());
}

TEST(Devices, TheFlashOfTheCommandLine) {
  auto const made = parse_flash("0x84000");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->base, 0xFFC0'0000u);
  EXPECT_EQ(made->bytes, 0x84000u);
  auto const at = parse_flash("0x20000@0xFFE00000");
  ASSERT_TRUE(at);
  EXPECT_EQ(at->base, 0xFFE0'0000u);
  EXPECT_THAT(parse_flash("0x20000@here").error(), HasSubstr("'here' is no address"));
  EXPECT_THAT(parse_flash("/nowhere/vars.fd").error(), HasSubstr("/nowhere/vars.fd"));
  EXPECT_THAT(parse_flash("0x1000").error(), HasSubstr("even number of blocks"));
  EXPECT_THAT(parse_flash("").error(), HasSubstr("--flash"));
}

/// OVMF's own division of 0x84000 bytes (OvmfPkg/Include/Fdf/OvmfPkgDefines.fdf.inc): 0x40000 of variables.
TEST(Devices, ANewFlashHoldsAnEmptyStore) {
  auto const flash = parse_flash("0x84000");
  ASSERT_TRUE(flash);
  auto const store = empty_store(*flash);
  u32 bytes = 0;
  std::memcpy(&bytes, store.data() + 0x48 + 16, sizeof bytes);
  EXPECT_EQ(bytes, 0x40000u - 0x48u);
  u32 sum = 0;
  for (std::size_t i = 0; i < 0x48; i += 2) {
    u16 word = 0;
    std::memcpy(&word, store.data() + i, sizeof word);
    sum += word;
  }
  EXPECT_EQ(sum & 0xFFFF, 0u);
}

}  // namespace
}  // namespace mm::lab
