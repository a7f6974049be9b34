// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <algorithm>
#include <type_traits>

#include "core/arch/msr.hpp"
#include "core/policy/foundation.hpp"
#include "core/supervisor/supervisor.hpp"
#include "hal/bare/machine.hpp"

namespace mm::bare {

/// What ring 0 sets for itself at the border, ring 3 may not write.
static_assert(std::ranges::all_of(kBorderMsrs, [](BorderMsr const& m) {
  return policy::foundation_of_msr(m.msr, policy::kWrite) != nullptr;
}));
static_assert(policy::foundation_of_msr(arch::kMsrLstar, policy::kWrite) != nullptr);

/// Every object of the supervisor image; its two composition roots hold one each. Constant-initialised: the image has
/// no start-up code.
template <bool Traced>
class Composition {
  /// A snapshot of the object is a snapshot of its state.
  static_assert(std::is_trivially_copyable_v<supervisor::Supervisor<Machine<Traced>>>);

 public:
  constexpr Composition() noexcept = default;

  /// One MMI of the calling CPU. An index that no CPU has, or a machine that was stopped, ends here.
  void enter(u64 cpu_index, u64 hob_list) noexcept {
    if (cpu_index >= platform::kMaxCpus || stop_.is_raised()) {
      stop_cpu();
    }
    Cpu& cpu = cpus_[cpu_index];
    clock_.measure();
    cpu.begin_mmi();
    supervisor_.enter(cpu, static_cast<u32>(cpu_index), PhysAddr{hob_list});
    cpu.end_mmi();
  }

  /// A fault in ring 0. The CPU is the one whose gate block is in one of the two GS bases.
  void fault(u64 vector, u64 error, u64 rip, u64 cr2) noexcept {
    supervisor_.supervisor_fault(cpu_of_stack(), vector, error, rip, cr2);
    machine_.halt(hal::HaltReason::SupervisorFault);
  }

 private:
  Cpu& cpu_of_stack() noexcept {
    u64 const block = read_known_msr(arch::kMsrGsBase);
    u64 const other = read_known_msr(arch::kMsrKernelGsBase);
    for (Cpu& cpu : cpus_) {
      if (cpu.owns(block) || cpu.owns(other)) {
        return cpu;
      }
    }
    return cpus_[0];
  }

  StopFlag stop_;
  Machine<Traced> machine_{stop_};
  Clock clock_;
  std::array<Cpu, platform::kMaxCpus> cpus_{Cpu{stop_, clock_}, Cpu{stop_, clock_}, Cpu{stop_, clock_},
                                            Cpu{stop_, clock_}, Cpu{stop_, clock_}, Cpu{stop_, clock_},
                                            Cpu{stop_, clock_}, Cpu{stop_, clock_}};
  supervisor::Supervisor<Machine<Traced>> supervisor_{machine_};
};

}  // namespace mm::bare
