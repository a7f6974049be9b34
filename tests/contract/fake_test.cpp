// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "hal/fake/machine.hpp"
#include "tests/contract/machine_contract.hpp"

namespace mm::test {

struct FakeHarness {
  FakeHarness() { cpu_.msrs[0x10] = 0; }
  fake::Cpu& cpu() { return cpu_; }
  PhysAddr memory() { return PhysAddr{0x10000}; }
  u32 good_msr() { return 0x10; }
  u32 bad_msr() { return 0x11; }
  fake::Machine machine;
  fake::Cpu cpu_{machine, 0, true};
};
INSTANTIATE_TYPED_TEST_SUITE_P(Fake, MachineContract, FakeHarness);

}  // namespace mm::test
