// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstdio>
#include <cstdlib>

/// Aborts with the text of the invariant, in every build type: libFuzzer and the replay report it as a crash.
#define MM_FUZZ_CHECK(condition)                                                             \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      std::fprintf(stderr, "%s:%d: invariant broken: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)
