// SPDX-License-Identifier: BSD-2-Clause-Patent
// An argument of a system call is not an address that ring 0 reads.
#include "core/abi/syscalls.hpp"
#include "hal/archetype/machine.hpp"

mm::u64 use(mm::hal::archetype::Cpu& cpu, mm::abi::call::FreePage const& call) {
#ifdef MM_MISUSE
  return mm::hal::read_object<mm::u64>(cpu, call.address);
#else
  return mm::hal::read_object<mm::u64>(cpu, mm::PhysAddr{mm::raw(call.address)});
#endif
}
