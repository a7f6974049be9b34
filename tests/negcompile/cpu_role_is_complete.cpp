// SPDX-License-Identifier: BSD-2-Clause-Patent
// A CPU that cannot flush its TLB is no CPU.
#include "hal/archetype/machine.hpp"

struct Incomplete : mm::hal::archetype::Cpu {
#ifdef MM_MISUSE
 private:
  using mm::hal::archetype::Cpu::flush_tlb;
#endif
};

template <mm::hal::Cpu C>
void take(C&);

void use(Incomplete& cpu) { take(cpu); }
