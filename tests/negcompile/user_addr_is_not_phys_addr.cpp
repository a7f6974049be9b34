// SPDX-License-Identifier: BSD-2-Clause-Patent
// What ring 3 or the normal world names is not accepted where the supervisor dereferences.
#include "core/base/types.hpp"

void read_memory(mm::PhysAddr at);

void use(mm::UserAddr given) {
#ifdef MM_MISUSE
  read_memory(given);
#else
  read_memory(mm::PhysAddr{mm::raw(given)});
#endif
}
