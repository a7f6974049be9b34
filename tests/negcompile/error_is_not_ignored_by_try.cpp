// SPDX-License-Identifier: BSD-2-Clause-Patent
// MM_TRY hands the error on, so the function around it must be able to carry one.
#include "core/base/types.hpp"

mm::Expected<void> step();

#ifdef MM_MISUSE
int all() {
  MM_TRY(step());
  return 0;
}
#else
mm::Expected<void> all() {
  MM_TRY(step());
  return {};
}
#endif
