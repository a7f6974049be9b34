// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "hal/fake/machine.hpp"
#include "tests/contract/host_suite.hpp"

namespace mm::contract {
namespace {

/// The fake machine; its ring 3 is whatever a test says it is, so there is nothing to hold it to.
struct FakeHarness {
  static constexpr bool kHasRing3 = false;
  FakeHarness() { cpu_.msrs[0x10] = 0; }
  template <typename F>
  void run(F&& f) {
    f();
  }
  fake::Cpu& cpu() { return cpu_; }
  fake::Machine& machine() { return machine_; }
  PhysAddr memory() { return PhysAddr{0x10000}; }
  u32 good_msr() { return 0x10; }
  u32 bad_msr() { return 0x11; }

  fake::Machine machine_;
  fake::Cpu cpu_{machine_, 0, true};
};
int const g_cases = register_suite<FakeHarness>("FakeMachineContract");

}  // namespace
}  // namespace mm::contract
