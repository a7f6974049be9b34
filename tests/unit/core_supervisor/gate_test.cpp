// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/supervisor/gate.hpp"

#include <gtest/gtest.h>

#include "tests/support/policy_blob.hpp"
#include "tests/unit/core_supervisor/part.hpp"

namespace mm::test {
namespace {

using hal::event::PolicyRefusal;
using supervisor::Check;

struct GateTest : ::testing::Test, Part {
  static constexpr u64 kPolicy = 0x20'0000;

  policy::Finding adopt(std::vector<u8> const& blob) {
    machine.memory.write(kPolicy, std::as_bytes(std::span(blob)));
    return gate.adopt(cpu, PhysAddr{kPolicy}, blob.size());
  }
  void adopt_example() {
    EXPECT_EQ(adopt(Blob::make({{2, 0, {Blob::io(0x80, 1, 3)}},
                                {3, 1, {Blob::msr(0x100, 1, 3)}},
                                {4, 0, {Blob::instruction(2, 4)}},
                                {5, 0, {Blob::save_state(0, 0x10, 2)}},
                                {1, 1, {}}}))
                  .problem,
              policy::Problem::None);
  }
  supervisor::Gate<fake::Machine> gate;
};

TEST_F(GateTest, KeepsItsOwnCopyOfThePolicy) {
  adopt_example();
  u64 const size = gate.view().size();
  put(kPolicy + 4, u32{7});
  EXPECT_EQ(gate.view().size(), size);
  EXPECT_EQ(gate.blob().size(), size);
}

TEST_F(GateTest, SaysWhatIsWrongWithAPolicy) {
  std::vector<u8> blob = Blob::make({{1, 1, {}}});
  blob[0] = 9;
  EXPECT_EQ(adopt(blob).problem, policy::Problem::Version);
}

TEST_F(GateTest, AllowedIsNoEvent) {
  adopt_example();
  EXPECT_EQ(gate.msr(here, 0x8B, policy::kRead), Status::Success);
  EXPECT_EQ(gate.io(here, 0x80, abi::IoWidth::Byte, policy::kWrite), Status::Success);
  EXPECT_EQ(gate.save_state(here, policy::SaveStateField::Rax, policy::IoTrap::Write), Status::Success);
  EXPECT_TRUE(machine.events.empty());
}

TEST_F(GateTest, ARefusalByThePolicyIsOneEvent) {
  adopt_example();
  EXPECT_EQ(gate.msr(here, 0x100, policy::kRead), Status::AccessDenied);
  EXPECT_EQ(gate.io(here, 0x81, abi::IoWidth::Word, policy::kRead), Status::AccessDenied);
  EXPECT_EQ(gate.instruction(here, policy::Instruction::Cli), Status::AccessDenied);
  EXPECT_EQ(gate.save_state(here, policy::SaveStateField::IoTrap, policy::IoTrap::Write), Status::AccessDenied);
  auto const told = this->told<PolicyRefusal>();
  ASSERT_EQ(told.size(), 4u);
  EXPECT_EQ(told[0].what, 0x100u);
  EXPECT_EQ(told[0].width, 8u);
  EXPECT_EQ(told[1].type, static_cast<u64>(policy::Type::Io));
  EXPECT_EQ(told[1].width, 2u);
  EXPECT_EQ(told[2].access, policy::kExecute);
  EXPECT_EQ(told[3].type, static_cast<u64>(policy::Type::SaveState));
  for (auto const& one : told) {
    EXPECT_EQ(one.by_core, 0u);
  }
}

TEST_F(GateTest, TheCoreRefusesWhateverThePolicySays) {
  adopt_example();
  EXPECT_EQ(gate.msr(here, 0xC000'0080, policy::kWrite), Status::AccessDenied);
  EXPECT_EQ(gate.instruction(here, policy::Instruction::Hlt), Status::AccessDenied);
  cpu.ports[policy::kPortConfigAddress] = 0x8000'0090;
  EXPECT_EQ(gate.io(here, policy::kPortConfigData, abi::IoWidth::Dword, policy::kWrite), Status::AccessDenied);
  auto const told = this->told<PolicyRefusal>();
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[2].config_address, 0x8000'0090u);
  for (auto const& one : told) {
    EXPECT_EQ(one.by_core, 1u);
  }
}

TEST_F(GateTest, APortThatIsNoneIsNoRefusalOfThePolicy) {
  adopt_example();
  EXPECT_EQ(gate.io(here, 0x1'0000, abi::IoWidth::Byte, policy::kRead), Status::InvalidParameter);
  EXPECT_TRUE(machine.events.empty());
}

TEST_F(GateTest, EachCheckCanBeRemoved) {
  adopt_example();
  auto const without = [&](Check check, auto&& ask) {
    EXPECT_EQ(ask(), Status::AccessDenied);
    machine.defects = supervisor::bit_of(check);
    EXPECT_EQ(ask(), Status::Success);
    machine.defects = 0;
  };
  without(Check::MsrPolicy, [&] { return gate.msr(here, 0x100, policy::kRead); });
  without(Check::IoPolicy, [&] { return gate.io(here, 0x70, abi::IoWidth::Byte, policy::kRead); });
  without(Check::InstructionPolicy, [&] { return gate.instruction(here, policy::Instruction::Wbinvd); });
  without(Check::Foundation, [&] { return gate.instruction(here, policy::Instruction::Hlt); });
}

}  // namespace
}  // namespace mm::test
