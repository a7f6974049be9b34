// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/symbols.hpp"

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

TEST(Symbols, NamesTheFunctionBeforeAnOffset) {
  Symbols const s = Symbols::parse(kMap);
  EXPECT_EQ(s.at(0x1000), "_ModuleEntryPoint+0x0");
  EXPECT_EQ(s.at(0x104F), "on_message+0xf");
  EXPECT_EQ(s.at(0x1060), "mm::driver::at+0x10");
  EXPECT_FALSE(s.at(0xFFF));
}

TEST(Symbols, NothingFromNothing) {
  EXPECT_FALSE(Symbols::parse("").at(0));
  EXPECT_FALSE(Symbols::load("no/such/file.map").at(0x1000));
  EXPECT_FALSE(Symbols{}.at(~u64{0}));
}

}  // namespace
}  // namespace mm::lab
