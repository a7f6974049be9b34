// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tests/contract/host_suite.hpp"
#include "tests/support/simulated_world.hpp"

namespace mm::contract {
namespace {

struct SimHarness {
  static constexpr bool kHasRing3 = true;
  template <typename F>
  void run(F&& f) {
    world.body = [&](sim::SimMachine::Cpu& inside) {
      cpu_ = &inside;
      f();
    };
    world.machine.deliver(1);
  }
  sim::SimMachine::Cpu& cpu() { return *cpu_; }
  sim::SimMachine& machine() { return world.machine; }
  PhysAddr memory() { return PhysAddr{sim::test::kScratchPages}; }
  u32 good_msr() { return 0x1F2; }
  u32 bad_msr() { return 0x12345; }
  PhysAddr user_code() { return PhysAddr{sim::test::kCode}; }
  PhysAddr user_data() { return PhysAddr{sim::test::kData}; }

  sim::test::World world{1, 1, 0, sim::Profile::Reference};
  sim::SimMachine::Cpu* cpu_ = nullptr;
};
int const g_cases = register_suite<SimHarness>("SimMachineContract");

}  // namespace
}  // namespace mm::contract
