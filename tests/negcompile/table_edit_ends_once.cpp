// SPDX-License-Identifier: BSD-2-Clause-Patent
// An edit of the tables closes its window and flushes once, where its scope ends.
#include "core/memory/table_edit.hpp"
#include "hal/archetype/machine.hpp"

void use(mm::hal::archetype::Cpu& cpu) {
  mm::memory::TableEdit edit{cpu, mm::PhysAddr{0x1000}};
#ifdef MM_MISUSE
  mm::memory::TableEdit second{edit};
#endif
  static_cast<void>(edit);
}
