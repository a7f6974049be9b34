// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/devices/local_apic.hpp"

#include <gtest/gtest.h>

namespace mm::sim {
namespace {

using namespace arch;

TEST(LocalApic, RegistersReadAsOnQ35) {
  LocalApic apic(3);
  EXPECT_EQ(apic.read(0x20), 3u << 24);
  EXPECT_EQ(apic.read(0x30), 0x0005'0014u);
  EXPECT_EQ(apic.read(0xF0), 0xFFu);
  EXPECT_EQ(apic.read(0x320), 0x1'0000u) << "masked after reset";
  Ipi sent;
  EXPECT_FALSE(apic.write(0x30, 0, sent));
  EXPECT_EQ(apic.read(0x30), 0x0005'0014u) << "the version is read-only";
  EXPECT_FALSE(apic.write(0xF0, 0xFFFF'FFFF, sent));
  EXPECT_EQ(apic.read(0xF0), 0x1FFu);
  EXPECT_EQ(apic.read(0xB0), 0u) << "EOI reads 0";
}

TEST(LocalApic, WritingTheLowHalfOfTheCommandSends) {
  LocalApic apic(0);
  Ipi sent;
  EXPECT_FALSE(apic.write(kApicIcrHigh, 2u << 24, sent));
  EXPECT_TRUE(apic.write(kApicIcrLow, 0x4200, sent));
  EXPECT_EQ(sent.command, 0x4200u);
  EXPECT_EQ(sent.destination, 2u);
  EXPECT_EQ(apic.read(kApicIcrLow), 0x4200u);
}

TEST(LocalApic, FixedInterruptsNeedTheApicOn) {
  LocalApic apic(0);
  apic.accept(0x41);
  EXPECT_EQ(apic.read(0x220), 0u);
  Ipi sent;
  apic.write(0xF0, 0x1FF, sent);
  apic.accept(0x41);
  EXPECT_EQ(apic.read(0x220), 2u);
  apic.init();
  EXPECT_EQ(apic.read(0x220), 0u);
}

TEST(Ipi, TargetsByShorthandAndById) {
  auto const hits = [](Shorthand to, u32 destination) {
    u32 mask = 0;
    for (u32 id = 0; id < 4; ++id) {
      mask |= is_target(ipi_command(DeliveryMode::Smi, to), destination, id, 0) ? 1u << id : 0u;
    }
    return mask;
  };
  EXPECT_EQ(hits(Shorthand::None, 2), 4u);
  EXPECT_EQ(hits(Shorthand::None, kBroadcast), 15u);
  EXPECT_EQ(hits(Shorthand::None, 9), 0u);
  EXPECT_EQ(hits(Shorthand::Self, 2), 1u);
  EXPECT_EQ(hits(Shorthand::All, 2), 15u);
  EXPECT_EQ(hits(Shorthand::Others, 2), 14u);
}

TEST(Ipi, TheBootProcessorSurvivesWhatAStepMaySend) {
  EXPECT_TRUE(is_sendable(ipi_command(DeliveryMode::Smi, Shorthand::All), 0));
  EXPECT_TRUE(is_sendable(ipi_command(DeliveryMode::Init), 1));
  EXPECT_FALSE(is_sendable(ipi_command(DeliveryMode::Init), kBootApicId));
  EXPECT_FALSE(is_sendable(ipi_command(DeliveryMode::Init, Shorthand::All), 1));
  EXPECT_FALSE(is_sendable(ipi_command(DeliveryMode::Init), kBroadcast));
  EXPECT_TRUE(is_sendable(ipi_command(DeliveryMode::Startup, Shorthand::Others, kStartVector), 0));
  EXPECT_FALSE(is_sendable(ipi_command(DeliveryMode::Startup, Shorthand::Others, 0x10), 0)) << "no code there";
  EXPECT_FALSE(is_sendable(ipi_command(DeliveryMode::Nmi, Shorthand::Others), 0));
  EXPECT_FALSE(is_sendable(ipi_command(DeliveryMode::Fixed, Shorthand::Self, 3), 0));
  EXPECT_FALSE(is_sendable(ipi_command(DeliveryMode::Smi) | kIpiLogical, 0));
}

}  // namespace
}  // namespace mm::sim
