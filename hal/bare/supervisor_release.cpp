// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "hal/bare/composition.hpp"

/// The release supervisor image: its objects and its entry points.
namespace mm::bare {
namespace {
constinit Composition<false> g_composition;
}  // namespace

extern "C" {
/// Rendezvous entry, called by MmiEntry.bin on each CPU in each MMI: RCX = CpuIndex, RDX = HOB list.
void _ModuleEntryPoint(u64 cpu_index, u64 hob_list) noexcept { g_composition.enter(cpu_index, hob_list); }
void mm_bare_supervisor_fault(u64 vector, u64 error, u64 rip, u64 cr2) noexcept {
  g_composition.fault(vector, error, rip, cr2);
}
}

}  // namespace mm::bare
