// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tests/contract/machine_contract.hpp"
#include "tests/unit/sim/world.hpp"

namespace mm::test {

struct SimHarness {
  sim::SimMachine::Cpu& cpu() { return world.machine.cpu(0); }
  PhysAddr memory() { return PhysAddr{sim::test::kScratchPages}; }
  u32 good_msr() { return 0x1F2; }
  u32 bad_msr() { return 0x12345; }
  sim::test::World world{1, 1, 0, sim::Profile::Reference};
};
INSTANTIATE_TYPED_TEST_SUITE_P(Simulator, MachineContract, SimHarness);

}  // namespace mm::test
