// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/communication/sw_mmi.hpp"

#include <gtest/gtest.h>

#include "tests/unit/core_communication/fake_world.hpp"

namespace mm::communication {
namespace {

using Writes = std::vector<std::pair<u16, u32>>;

struct CountingControl {
  u32* calls;
  Status answer = Status::Success;
  Expected<void> init() noexcept {
    ++*calls;
    return answer == Status::Success ? Expected<void>{} : std::unexpected(answer);
  }
};

TEST(SwMmi, WritesDataThenCommand) {
  FakeWorld world;
  SwMmiTrigger trigger{world, AcpiBase{}, MmiPort::smi(0xB2), MmiPort::smi(0xB3)};
  EXPECT_EQ(trigger.trigger(1, 2).error(), Status::NotReady);
  EXPECT_TRUE(world.writes.empty());
  ASSERT_TRUE(trigger.start().has_value());
  ASSERT_TRUE(trigger.trigger(1, 2).has_value());
  EXPECT_EQ(world.writes, (Writes{{0xB3, 2}, {0xB2, 1}}));
}

TEST(SwMmi, ThePlatformPreparesOnce) {
  FakeWorld world;
  u32 calls = 0;
  SwMmiTrigger trigger{world, AcpiBase{}, MmiPort::smi(0xB2), MmiPort::smi(0xB3), CountingControl{&calls}};
  ASSERT_TRUE(trigger.start().has_value());
  ASSERT_TRUE(trigger.start().has_value());
  EXPECT_EQ(calls, 1u);
}

TEST(SwMmi, ThePlatformsErrorEndsTheStart) {
  FakeWorld world;
  u32 calls = 0;
  SwMmiTrigger trigger{world, AcpiBase{}, MmiPort::smi(0xB2), MmiPort::smi(0xB3),
                       CountingControl{&calls, Status::DeviceError}};
  EXPECT_EQ(trigger.start().error(), Status::DeviceError);
  EXPECT_EQ(trigger.trigger(0, 0).error(), Status::NotReady);
}

TEST(SwMmi, AnSmcPortIsRefused) {
  FakeWorld world;
  SwMmiTrigger command{world, AcpiBase{}, MmiPort::smc(0x8400'0041), MmiPort::smi(0xB3)};
  EXPECT_EQ(command.start().error(), Status::Unsupported);
  SwMmiTrigger data{world, AcpiBase{}, MmiPort::smi(0xB2), MmiPort::smc(0xB3)};
  EXPECT_EQ(data.start().error(), Status::Unsupported);
}

TEST(SwMmi, EnablesSoftwareSmisInPorts) {
  FakeWorld world;
  world.ports[0x630] = 0x40;
  SwMmiTrigger trigger{world, AcpiBase::io(0x600), MmiPort::smi(0xB2), MmiPort::smi(0xB3)};
  ASSERT_TRUE(trigger.start().has_value());
  EXPECT_EQ(world.writes, (Writes{{0x634, 0x20}, {0x630, 0x63}}));
}

TEST(SwMmi, LeavesTheChipsetAloneWhenSmisAreOn) {
  FakeWorld world;
  world.ports[0x630] = 0x21;
  SwMmiTrigger trigger{world, AcpiBase::io(0x600), MmiPort::smi(0xB2), MmiPort::smi(0xB3)};
  ASSERT_TRUE(trigger.start().has_value());
  EXPECT_TRUE(world.writes.empty());
}

TEST(SwMmi, EnablesSoftwareSmisInMemory) {
  FakeWorld world;
  SwMmiTrigger trigger{world, AcpiBase::mmio(0xFED0'0000), MmiPort::smi(0xB2), MmiPort::smi(0xB3)};
  ASSERT_TRUE(trigger.start().has_value());
  EXPECT_EQ(world.get<u32>(0xFED0'0030), 0x23u);
}

TEST(SwMmi, AChipsetThatDoesNotTakeTheBitsIsAnError) {
  FakeWorld world;
  world.accepts = [](u64) { return false; };
  SwMmiTrigger trigger{world, AcpiBase::mmio(0xFED0'0000), MmiPort::smi(0xB2), MmiPort::smi(0xB3)};
  EXPECT_EQ(trigger.start().error(), Status::DeviceError);
}

TEST(SwMmi, NamesOfTheField) {
  EXPECT_EQ(log_name(LogTarget::MmComm), "mm_comm");
  EXPECT_EQ(log_name(LogTarget::SwMmi), "sw_mmi");
  CommunicationConfig const config;
  EXPECT_EQ(config.acpi_base, AcpiBase::mmio(0));
  EXPECT_EQ(config.cmd_port, MmiPort::smi(0xFF));
  EXPECT_EQ(config.data_port, MmiPort::smi(0));
  EXPECT_FALSE(config.enable_comm_buffer_updates);
  EXPECT_FALSE(config.updatable_buffer_id.has_value());
}

}  // namespace
}  // namespace mm::communication
