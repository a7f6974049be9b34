// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/devices/windows.hpp"

#include <gtest/gtest.h>

#include "sim/devices/devices.hpp"

namespace mm::sim {
namespace {

constexpr u64 kMiB = 1u << 20;
constexpr u64 kFlashAt = 0xFFC0'0000;
using From = Windows::From;

std::vector<std::byte> bytes(std::initializer_list<unsigned> values) {
  std::vector<std::byte> out;
  for (unsigned const v : values) {
    out.push_back(static_cast<std::byte>(v));
  }
  return out;
}

/// A flash of 16 blocks, and two registers in memory and one at a port.
struct WindowsTest : testing::Test {
  std::vector<WindowSpec> specs{
      {"flash", false, kFlashAt, FlashSpec{0x10000, bytes({1, 2, 3, 4, 5, 6, 7, 8})}},
      {"registers", false, 0xFED0'0000,
       RegisterWindowSpec{0x100,
                          0xEE,
                          {{.at = 0, .width = 2, .value = 0xF00F, .reads = {}, .clears = 0xF0},
                           {.at = 4, .width = 4, .value = 0, .reads = {7, 8}, .clears = 0}},
                          bytes({0xA1, 0xA2})}},
      {"port", true, 0x1800,
       RegisterWindowSpec{2, 0xFF, {{.at = 0, .width = 1, .value = 0x11, .reads = {}, .clears = 0}}, {}}}};
  Windows windows{specs};

  u64 read(u64 at, u32 n, From from = From::Mm) { return windows.read(at, n, from); }
  void write(u64 at, u32 n, u64 v, From from = From::Mm) { windows.write(at, n, v, from); }
  void command(u64 offset, u8 first, u8 second) {
    write(kFlashAt + offset, 1, first);
    write(kFlashAt + offset, 1, second);
  }
};

TEST_F(WindowsTest, NobodyIsZerosAndTakesNoWrite) {
  EXPECT_EQ(read(0xFEC0'0000, 8), 0u);
  write(0xFEC0'0000, 8, 1);
  EXPECT_EQ(read(kFlashAt + 0xFFFE, 4), 0u) << "half outside";
}

TEST_F(WindowsTest, EightBytesAreTwoAccesses) {
  EXPECT_EQ(read(kFlashAt, 8), 0x0807'0605'0403'0201u);
  auto const before = windows.logs()[0].accesses.size();
  read(0xFED0'0000, 8);
  EXPECT_EQ(windows.logs()[0].accesses.size(), before + 2);
}

TEST_F(WindowsTest, TheOsReadsTheArrayAndWritesNothing) {
  write(kFlashAt, 1, 0x70);
  EXPECT_EQ(read(kFlashAt, 1), 0x80u);
  EXPECT_EQ(read(kFlashAt, 1, From::Outside), 1u);
  write(kFlashAt, 1, 0xFF, From::Outside);
  EXPECT_EQ(read(kFlashAt, 1), 0x80u) << "still in status mode";
}

TEST_F(WindowsTest, ASnapshotHasTheArrayAndTheMode) {
  command(0x10, 0x40, 0xAA);
  write(kFlashAt, 1, 0xFF);
  windows.snapshot();
  command(0x10, 0x20, 0xD0);
  command(0x8000, 0x40, 0x55);
  EXPECT_EQ(read(kFlashAt, 1), 0x80u);
  windows.reset();
  EXPECT_EQ(read(kFlashAt + 0x10, 1), 0xAAu);
  EXPECT_EQ(read(kFlashAt, 8), 0x0807'0605'0403'0201u);
  EXPECT_EQ(read(kFlashAt + 0x8000, 1), 0xFFu);
  windows.reset();  // a second time: nothing has changed
  EXPECT_EQ(read(kFlashAt + 0x10, 1), 0xAAu);
}

TEST_F(WindowsTest, AnEraseIsOfOneBlock) {
  command(0x1FFF, 0x40, 0);
  command(0x2000, 0x40, 0);
  command(0x1800, 0x20, 0xD0);
  write(kFlashAt, 1, 0xFF);
  EXPECT_EQ(read(kFlashAt + 0x1FFF, 1), 0xFFu);
  EXPECT_EQ(read(kFlashAt + 0x2000, 1), 0u);
  EXPECT_EQ(read(kFlashAt, 1), 1u);
}

TEST_F(WindowsTest, ProgrammingEndsWithTheFlash) {
  write(kFlashAt + 0xFFFC, 4, 0x40);
  write(kFlashAt + 0xFFFC, 4, 0x1122'3344);
  write(kFlashAt, 1, 0xFF);
  EXPECT_EQ(read(kFlashAt + 0xFFFC, 4), 0x1122'3344u);
}

TEST_F(WindowsTest, RegistersKeepClearAndCount) {
  u64 const at = 0xFED0'0000;
  write(at, 2, 0xABFF);  // the bits that a one clears were clear: nobody sets them
  EXPECT_EQ(read(at, 2), 0xAB0Fu);
  EXPECT_EQ(read(at + 4, 4), 7u);
  EXPECT_EQ(read(at + 4, 4), 8u);
  EXPECT_EQ(read(at + 4, 4), 8u) << "the last one stays";
  EXPECT_EQ(read(at + 8, 4), 0xEEEE'A2A1u) << "the stream, then what fills";
}

TEST_F(WindowsTest, BitsThatAreSetStayUntilAOneClearsThem) {
  std::vector<WindowSpec> const one{
      {"status", false, 0xFED0'0000,
       RegisterWindowSpec{4, 0, {{.at = 0, .width = 4, .value = 0xF3, .reads = {}, .clears = 0xF0}}, {}}}};
  Windows w{one};
  w.write(0xFED0'0000, 1, 0x10, From::Mm);
  EXPECT_EQ(w.read(0xFED0'0000, 4, From::Mm), 0xE0u);
}

TEST_F(WindowsTest, ALogIsBounded) {
  for (std::size_t i = 0; i < RegisterWindow::kMostAccesses + 5; ++i) {
    read(0xFED0'0080, 1);
  }
  EXPECT_EQ(windows.logs()[0].accesses.size(), RegisterWindow::kMostAccesses);
  EXPECT_EQ(windows.logs()[0].dropped, 5u);
}

TEST_F(WindowsTest, PortsGoBeforeWhatTheChipsetHas) {
  Devices devices(256 * kMiB, 16 * kMiB, specs);
  EXPECT_EQ(devices.in(0x1800, abi::IoWidth::Byte, 0), 0x11u);
  EXPECT_EQ(devices.in(0x1800, abi::IoWidth::Word, 0), 0xFF11u);
  devices.out(0x1800, abi::IoWidth::Byte, 0x22);
  EXPECT_EQ(devices.in(0x1800, abi::IoWidth::Byte, 0), 0x22u);
  EXPECT_EQ(devices.in(0x1801, abi::IoWidth::Word, 0), 0xFFFFu) << "half of it is nobody's";
}

TEST(ConfigurationSpace, IsMemoryToo) {
  Devices devices(256 * kMiB, 16 * kMiB);
  EXPECT_EQ(devices.read_memory(0xB000'0000, 4, From::Mm), 0u) << "PCIEXBAR is off";
  devices.firmware_setup();
  EXPECT_EQ(devices.read_memory(0xB000'0000, 4, From::Mm), 0x29C0'8086u);
  EXPECT_EQ(devices.read_memory(0xB000'0100, 4, From::Mm), 0xFFFF'FFFFu) << "beyond its registers";
  EXPECT_EQ(devices.read_memory(0xB010'0000, 4, From::Mm), 0xFFFF'FFFFu) << "another bus";
  devices.write_memory(0xB00F'80F0, 4, 0xFED1'C001, From::Mm);
  EXPECT_EQ(devices.read_memory(0xB00F'80F0, 4, From::Outside) & 1, 1u);
  devices.write_memory(0xB010'0000, 4, 0, From::Mm);
  EXPECT_EQ(devices.read_memory(0xB000'0000, 4, From::Mm), 0x29C0'8086u);
}

}  // namespace
}  // namespace mm::sim
