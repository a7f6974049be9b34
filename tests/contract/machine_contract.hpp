// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <gtest/gtest.h>

#include "hal/roles/machine.hpp"

namespace mm::test {

/// What every machine must do. `Harness` has a CPU `cpu()`, a writable address `memory()` of two pages, an MSR that can
/// be written `good_msr()` and one that the CPU refuses `bad_msr()`.
template <typename Harness>
class MachineContract : public ::testing::Test {
 protected:
  Harness h;
};
TYPED_TEST_SUITE_P(MachineContract);

TYPED_TEST_P(MachineContract, MemoryKeepsWhatIsWrittenAcrossPages) {
  auto& cpu = this->h.cpu();
  PhysAddr const at = this->h.memory() + (kPageSize - 3);
  hal::write_object(cpu, at, u64{0x1122334455667788});
  EXPECT_EQ(hal::read_object<u64>(cpu, at), 0x1122334455667788u);
  cpu.copy(this->h.memory(), at, 8);
  EXPECT_EQ(hal::read_object<u64>(cpu, this->h.memory()), 0x1122334455667788u);
  cpu.zero(at, 4);
  EXPECT_EQ(hal::read_object<u64>(cpu, at), 0x1122334400000000u);
}
TYPED_TEST_P(MachineContract, EmptyCopiesTouchNothing) {
  auto& cpu = this->h.cpu();
  cpu.copy(this->h.memory(), this->h.memory() + kPageSize, 0);
  cpu.zero(this->h.memory(), 0);
  cpu.write(this->h.memory(), {});
}
TYPED_TEST_P(MachineContract, MsrFaultsAreStatuses) {
  auto& cpu = this->h.cpu();
  EXPECT_TRUE(cpu.write_msr(this->h.good_msr(), 0x55).has_value());
  EXPECT_EQ(cpu.read_msr(this->h.good_msr()).value_or(0), 0x55u);
  EXPECT_EQ(cpu.read_msr(this->h.bad_msr()).error(), Status::Unsupported);
  EXPECT_EQ(cpu.write_msr(this->h.bad_msr(), 0).error(), Status::Unsupported);
}
REGISTER_TYPED_TEST_SUITE_P(MachineContract, MemoryKeepsWhatIsWrittenAcrossPages, EmptyCopiesTouchNothing,
                            MsrFaultsAreStatuses);

}  // namespace mm::test
