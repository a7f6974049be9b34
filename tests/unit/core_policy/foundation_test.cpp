// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "core/policy/foundation.hpp"

namespace mm::policy {
namespace {

TEST(Foundation, WritesOfEachMsrOfARow) {
  for (auto const& row : kFoundationMsrs) {
    for (u64 msr = row.first; msr <= row.last; ++msr) {
      auto const number = static_cast<u32>(msr);
      EXPECT_EQ(foundation_of_msr(number, kWrite), &row) << std::hex << msr;
      EXPECT_EQ(foundation_of_msr(number, kRead), nullptr) << std::hex << msr;
    }
  }
}

TEST(Foundation, TheNeighboursAreThePolicys) {
  for (u32 const msr : {0x11u, 0x8Bu, 0x199u, 0x1A1u, 0x601u, 0x6E2u, 0x7FFu, 0x900u, 0xC000'0085u, 0xC001'0014u}) {
    EXPECT_EQ(foundation_of_msr(msr, kWrite), nullptr) << std::hex << msr;
  }
}

TEST(Foundation, PortsAtEveryOverlap) {
  EXPECT_NE(foundation_of_io(0xB2, 1, kWrite, 0), nullptr);
  EXPECT_NE(foundation_of_io(0xB1, 2, kWrite, 0), nullptr);
  EXPECT_NE(foundation_of_io(0xAF, 4, kWrite, 0), nullptr);
  EXPECT_EQ(foundation_of_io(0xB3, 1, kWrite, 0), nullptr);
  EXPECT_EQ(foundation_of_io(0xB0, 2, kWrite, 0), nullptr);
  EXPECT_EQ(foundation_of_io(0xB2, 1, kRead, 0), nullptr);
}

/// By every port and width with which a byte of it can be reached.
TEST(Foundation, EachByteOfAPciRegister) {
  for (auto const& row : kFoundationPci) {
    for (u32 at : {row.first, row.last, (row.first + row.last) / 2}) {
      u32 const address = 0x8000'0000 | (at & 0xFFFC);
      for (u64 const width : {1u, 2u, 4u}) {
        for (u64 port = kPortConfigData + 1 - width; port < kPortConfigData + 4u; ++port) {
          u64 const from = port < kPortConfigData ? 0 : port - kPortConfigData;
          u64 const to = port + width - 1 - kPortConfigData;
          bool const reaches = from <= (at & 3) && (at & 3) <= to;
          if (reaches) {
            EXPECT_NE(foundation_of_io(port, width, kWrite, address), nullptr) << std::hex << at << " " << port;
            EXPECT_NE(foundation_of_io(port, width, kWrite, address | 3), nullptr) << "bits 0 and 1 are ignored";
            EXPECT_EQ(foundation_of_io(port, width, kRead, address), nullptr);
            EXPECT_EQ(foundation_of_io(port, width, kWrite, address & ~0x8000'0000u), nullptr) << "not enabled";
            EXPECT_EQ(foundation_of_io(port, width, kWrite, address | 1u << 16), nullptr) << "another bus";
          }
        }
      }
    }
  }
}

TEST(Foundation, OtherPciRegistersAreThePolicys) {
  for (u32 const at : {pci_register(2, 0, 0x10), pci_register(0x1F, 0, 0x3C), pci_register(0x1F, 2, 0x24)}) {
    for (u64 port = kPortConfigData; port < kPortConfigData + 4u; ++port) {
      EXPECT_EQ(foundation_of_io(port, 1, kWrite, 0x8000'0000 | at), nullptr) << std::hex << at;
    }
  }
  EXPECT_EQ(foundation_of_io(kPortConfigAddress, 4, kWrite, 0x8000'0000), nullptr) << "naming a register is no write";
}

TEST(Foundation, Instructions) {
  EXPECT_NE(foundation_of_instruction(static_cast<u16>(Instruction::Hlt)), nullptr);
  EXPECT_EQ(foundation_of_instruction(static_cast<u16>(Instruction::Cli)), nullptr);
  EXPECT_EQ(foundation_of_instruction(static_cast<u16>(Instruction::Wbinvd)), nullptr);
}

}  // namespace
}  // namespace mm::policy
