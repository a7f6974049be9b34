// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/devices/devices.hpp"

#include <gtest/gtest.h>

#include <utility>

namespace mm::sim {
namespace {

constexpr u64 kMiB = 1u << 20;
using abi::IoWidth;

void config_out(Devices& d, u32 address, u8 value) {
  d.out(0xCF8, IoWidth::Dword, 0x8000'0000 | (address & ~3u));
  d.out(static_cast<u16>(0xCFC + (address & 3)), IoWidth::Byte, value);
}
u32 config_in(Devices& d, u32 address) {
  d.out(0xCF8, IoWidth::Dword, 0x8000'0000 | (address & ~3u));
  return d.in(static_cast<u16>(0xCFC + (address & 3)), IoWidth::Byte, 0);
}

TEST(Devices, SmramLockHoldsAsOnQ35) {
  Devices d(256 * kMiB, 16 * kMiB);
  EXPECT_EQ(config_in(d, 0x9D), 0x02u);
  EXPECT_EQ(config_in(d, 0x9E), 0x38u);
  config_out(d, 0x9E, 0x07);
  EXPECT_FALSE(d.tseg_closed()) << "T_EN without G_SMRAME is no TSEG";
  config_out(d, 0x9D, 0x0A);
  EXPECT_TRUE(d.tseg_closed());
  config_out(d, 0x9D, 0x1A);
  EXPECT_EQ(config_in(d, 0x9D), 0x1Au);
  EXPECT_EQ(config_in(d, 0x9E), 0x3Fu);
  config_out(d, 0x9D, 0x00);
  config_out(d, 0x9E, 0x00);
  EXPECT_EQ(config_in(d, 0x9D), 0x1Au);
  EXPECT_EQ(config_in(d, 0x9E), 0x3Fu);
  EXPECT_TRUE(d.tseg_closed());
}

TEST(Devices, ApmRaisesMmiButNotForAcpiValues) {
  Devices d(256 * kMiB, 16 * kMiB);
  EXPECT_EQ(d.out(0xB2, IoWidth::Byte, 0x10), PortEffect::None) << "SMI_EN is 0";
  d.firmware_setup();
  d.firmware_lock();
  EXPECT_EQ(d.out(0xB2, IoWidth::Byte, 0x10), PortEffect::SoftwareMmi);
  EXPECT_EQ(d.in(0xB2, IoWidth::Byte, 0), 0x10u);
  EXPECT_EQ(d.out(0xB2, IoWidth::Byte, 2), PortEffect::None);
  EXPECT_EQ(d.out(0xB2, IoWidth::Byte, 3), PortEffect::None);
}

TEST(Devices, SataControllerKeepsTheAddressOfItsRegisters) {
  Devices d(256 * kMiB, 16 * kMiB);
  constexpr u32 kAhci = 31u << 11 | 2u << 8;
  EXPECT_EQ(config_in(d, kAhci + 2), 0x22u);
  config_out(d, kAhci + 0x27, 0x0F);
  config_out(d, kAhci + 0x24, 0xFF);
  EXPECT_EQ(config_in(d, kAhci + 0x27), 0x0Fu);
  EXPECT_EQ(config_in(d, kAhci + 0x24), 0x00u) << "4 KiB";
}

TEST(Devices, ConfigurationAsTheFirmwareLeavesIt) {
  Devices d(256 * kMiB, 16 * kMiB);
  d.firmware_setup();
  d.firmware_lock();
  constexpr u32 kLpc = 31u << 11;
  EXPECT_EQ(config_in(d, kLpc + 0xA0), 0x10u) << "SMI_LOCK";
  EXPECT_EQ(d.in(0x630, IoWidth::Dword, 0), 0x21u);
  EXPECT_EQ(d.in(0x630, IoWidth::Byte, 0), 0u) << "SMI_EN takes dwords";
  d.out(0x630, IoWidth::Byte, 0);
  d.out(0x630, IoWidth::Dword, 0x20);
  EXPECT_EQ(d.in(0x630, IoWidth::Dword, 0), 0x21u) << "GBL_SMI_EN is locked";
  config_out(d, kLpc + 0xA0, 0);
  EXPECT_EQ(config_in(d, kLpc + 0xA0), 0x10u);
  EXPECT_EQ(d.pciexbar().base, 0xB000'0000u);
  EXPECT_EQ(d.pciexbar().size, 256 * kMiB);
}

TEST(Devices, PciExBarLengths) {
  Devices d(256 * kMiB, 16 * kMiB);
  EXPECT_EQ(d.pciexbar().size, 0u) << "off after reset";
  struct Length {
    u8 code;
    u64 mebibytes;
    u64 base;  ///< of all address bits set, as QEMU takes them
  };
  for (auto const& [code, mebibytes, base] :
       {Length{0, 256, 0x3000'0000}, {1, 128, 0x3600'0000}, {2, 64, 0x3200'0000}, {3, 0, 0}}) {
    config_out(d, 0x63, 0x3F);
    config_out(d, 0x62, 0xFF);
    config_out(d, 0x60, static_cast<u8>(code << 1 | 1));
    EXPECT_EQ(d.pciexbar().size, mebibytes * kMiB) << code;
    EXPECT_EQ(d.pciexbar().base, base) << code;
  }
}

TEST(Devices, OnlyADwordSelectsARegister) {
  Devices d(256 * kMiB, 16 * kMiB);
  d.out(0xCF8, IoWidth::Dword, 0x8000'F840);
  for (u16 const port : {u16{0xCF8}, u16{0xCFA}, u16{0xCFB}}) {
    EXPECT_EQ(d.out(port, IoWidth::Byte, 0xFF), PortEffect::None);
  }
  EXPECT_EQ(d.in(0xCF8, IoWidth::Dword, 0), 0x8000'F840u);
  EXPECT_EQ(d.in(0xCFB, IoWidth::Byte, 0), 0x40u) << "as QEMU: the low byte, whichever was asked for";
}

TEST(Devices, WaysToResetTheMachine) {
  auto const effect = [](u16 port, IoWidth width, u32 value) {
    Devices d(256 * kMiB, 16 * kMiB);
    d.firmware_setup();
    return d.out(port, width, value);
  };
  for (u32 value = 0; value < 256; ++value) {
    EXPECT_EQ(effect(0xCF9, IoWidth::Byte, value) == PortEffect::Reset, (value & 4) != 0) << value;
    EXPECT_EQ(effect(0x92, IoWidth::Byte, value) == PortEffect::Reset, (value & 1) != 0) << value;
    EXPECT_EQ(effect(0x64, IoWidth::Byte, value) == PortEffect::Reset, value >= 0xF0 && (value & 1) == 0) << value;
  }
  EXPECT_EQ(effect(0xCF8, IoWidth::Dword, 0xFFFF'FFFF), PortEffect::None);
  EXPECT_EQ(effect(0x604, IoWidth::Word, 0x2000), PortEffect::Reset) << "S5";
  EXPECT_EQ(effect(0x604, IoWidth::Word, 0x2000 | 1 << 10), PortEffect::None) << "another sleep state";
  EXPECT_EQ(effect(0x604, IoWidth::Word, 0x1FFF), PortEffect::None);
}

TEST(Devices, PmTimerFollowsVirtualTime) {
  Devices d(256 * kMiB, 16 * kMiB);
  d.firmware_setup();
  EXPECT_EQ(d.in(0x608, IoWidth::Dword, 1'000'000'000), 3'579'545u);
}

TEST(Devices, UartTakesText) {
  Devices d(256 * kMiB, 16 * kMiB);
  EXPECT_EQ(d.in(0x3FD, IoWidth::Byte, 0), 0x60u);
  d.out(0x3F8, IoWidth::Byte, 'x');
  EXPECT_EQ(d.serial(), "x");
}

TEST(Devices, UartDivisorIsNoText) {
  Devices d(256 * kMiB, 16 * kMiB);
  d.out(0x3FB, IoWidth::Byte, 0x80);
  EXPECT_EQ(d.in(0x3F8, IoWidth::Word, 0), 0x000Cu);
  d.out(0x3F8, IoWidth::Word, 0x1234);
  EXPECT_EQ(d.in(0x3F8, IoWidth::Word, 0), 0x1234u);
  d.out(0x3FB, IoWidth::Byte, 0x03);
  EXPECT_EQ(d.in(0x3F8, IoWidth::Word, 0), 0u);
  EXPECT_EQ(d.serial(), "");
}

TEST(Uart, LoopbackWithoutFifoOverruns) {
  Uart u;
  u.out(4, 0x10);
  EXPECT_FALSE(u.out(0, 'a').has_value());
  EXPECT_FALSE(u.out(0, 'b').has_value());
  EXPECT_EQ(u.in(5), 0x63u);
  EXPECT_EQ(u.in(5), 0x61u) << "the overrun is told once";
  EXPECT_EQ(u.in(0), 'b');
  EXPECT_EQ(u.in(5), 0x60u);
}

TEST(Uart, FifoKeepsSixteenInOrder) {
  Uart u;
  u.out(4, 0x10);
  u.out(2, 0x01);
  for (u8 i = 0; i < 17; ++i) {
    u.out(0, i);
  }
  EXPECT_EQ(u.in(5), 0x63u);
  for (u8 i = 0; i < 16; ++i) {
    EXPECT_EQ(u.in(0), i);
  }
  EXPECT_EQ(u.in(5), 0x60u);
  EXPECT_EQ(u.in(0), 0u);
}

TEST(Uart, CauseInTheOrderOfPriority) {
  Uart u;
  u.out(4, 0x10);
  u.out(2, 0x41);  // FIFO, trigger level 4
  u.out(1, 0x07);
  u.out(0, 1);
  EXPECT_EQ(u.in(2), 0xC2u) << "one byte is below the level";
  EXPECT_EQ(u.in(2), 0xC1u);
  for (u8 i = 0; i < 16; ++i) {
    u.out(0, i);
  }
  EXPECT_EQ(u.in(2), 0xC6u) << "overrun";
  EXPECT_EQ(u.in(5) & 0x02, 0x02);
  EXPECT_EQ(u.in(2), 0xC4u) << "received";
  u.out(2, 0x43);
  EXPECT_EQ(u.in(2), 0xC2u) << "the receiver was reset, the transmitter is empty";
  u.out(2, 0x47);
  EXPECT_EQ(u.in(2), 0xC2u) << "the transmitter was reset";
  u.out(1, 0x00);
  EXPECT_EQ(u.in(2), 0xC1u);
}

TEST(Uart, ModemLinesInLoopback) {
  Uart u;
  EXPECT_EQ(u.in(6), 0xB0u);
  u.out(6, 0xFF);
  u.out(5, 0xFF);
  EXPECT_EQ(u.in(6), 0xB0u);
  EXPECT_EQ(u.in(5), 0x60u);
  u.out(4, 0xF5);
  EXPECT_EQ(u.in(4), 0x15u);
  EXPECT_EQ(u.in(6), 0x60u) << "OUT1 is ring, DTR is data set ready";
  u.out(7, 0xA5);
  EXPECT_EQ(u.in(7), 0xA5u);
}

}  // namespace
}  // namespace mm::sim
