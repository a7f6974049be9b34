// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/symbols/link_map.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace mm::lab {
namespace {

constexpr char kMap[] =
    " Hello\n\n Timestamp is 0 (Repro mode)\n\n Preferred load address is 0000000000000000\n\n"
    " Start         Length     Name                   Class\n 0001:00000000 00000300H .text                   CODE\n\n"
    "  Address         Publics by Value              Rva+Base               Lib:Object\n\n"
    " 0001:00000000       _ModuleEntryPoint          0000000000001000     entry.obj\n"
    " 0001:00000040       _ZN12_GLOBAL__N_110on_messageEyPKvPvPy 0000000000001040 f i hello.obj\n"
    " 0001:00000050       _ZN2mm6driver2atEm         0000000000001050 f i hello.obj\n"
    " 0001:00000060       broken                     not-an-address!!\n";

/// "name+0x10" of an offset.
std::string at(LinkMap const& map, u64 offset) {
  auto const found = map.at(offset);
  return found ? fmt::format("{}+{:#x}", found->name, offset - found->start) : "";
}

TEST(LinkMap, NamesTheFunctionBeforeAnOffset) {
  LinkMap const s = LinkMap::parse(kMap);
  EXPECT_EQ(at(s, 0x1000), "_ModuleEntryPoint+0x0");
  EXPECT_EQ(at(s, 0x104F), "on_message+0xf");
  EXPECT_EQ(at(s, 0x1060), "mm::driver::at+0x10");
  EXPECT_EQ(at(s, 0xFFF), "");
}

TEST(LinkMap, OfMsvcIsRelativeToThePreferredAddress) {
  LinkMap const s = LinkMap::parse(
      " My\n\n Timestamp is 5f000000 (x)\n\n Preferred load address is 0000000180000000\n\n"
      "  Address         Publics by Value              Rva+Base               Lib:Object\n\n"
      " 0000:00000000       __ImageBase                0000000180000000     <linker-defined>\n"
      " 0001:00000000       DriverEntry                0000000180001000 f   My.obj\n"
      " 0001:00000060       _ModuleEntryPoint          0000000180001060 f   Lib:Entry.obj\n");
  EXPECT_EQ(at(s, 0x1010), "DriverEntry+0x10");
  EXPECT_EQ(at(s, 0x1061), "_ModuleEntryPoint+0x1");
}

TEST(LinkMap, OfGnuLdHasStaticFunctionsBySection) {
  LinkMap const s = LinkMap::parse(
      "Discarded input sections\n\n .text.Unused   0x0000000000000000       0x20 a.o\n"
      "Linker script and memory map\n\n"
      ".text           0x0000000000001000      0x400\n"
      " .text.DriverEntry\n"
      "                0x0000000000001000       0x30 /tmp/a.lto.o\n"
      "                0x0000000000001000                DriverEntry\n"
      " .text.OnMessage\n"
      "                0x0000000000001030       0x10 /tmp/a.lto.o\n"
      " *fill*         0x0000000000001040       0x10 \n"
      " .text.Short    0x0000000000001050       0x10 /tmp/a.lto.o\n"
      "                0x0000000000001400                . = ALIGN(0x20)\n"
      ".data           0x0000000000002000       0x20\n"
      "                0x0000000000002000                mData\n");
  EXPECT_EQ(at(s, 0x1008), "DriverEntry+0x8");
  EXPECT_EQ(at(s, 0x1031), "OnMessage+0x1");
  EXPECT_EQ(at(s, 0x1051), "Short+0x1");
  EXPECT_EQ(at(s, 0x2001), "Short+0xfb1");
}

TEST(LinkMap, NothingFromNothing) {
  EXPECT_FALSE(LinkMap::parse("").at(0));
  EXPECT_FALSE(LinkMap::load("no/such/file.map").at(0x1000));
  EXPECT_FALSE(LinkMap{}.at(~u64{0}));
  EXPECT_FALSE(LinkMap::parse("Preferred load address is \nLinker script and memory map\n .text.\n 0x\n").at(0x1000));
}

}  // namespace
}  // namespace mm::lab
