// SPDX-License-Identifier: BSD-2-Clause-Patent
// A window onto user pages closes once, where its scope ends.
#include "hal/archetype/machine.hpp"

void use(mm::hal::archetype::Cpu& cpu) {
  mm::hal::UserAccess window{cpu};
#ifdef MM_MISUSE
  mm::hal::UserAccess second{window};
#endif
}
