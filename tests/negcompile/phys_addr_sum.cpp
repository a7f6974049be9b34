// SPDX-License-Identifier: BSD-2-Clause-Patent
// The sum of two addresses means nothing; an address plus a number of bytes is an address.
#include "core/base/types.hpp"

constexpr mm::PhysAddr kA{0x1000};
constexpr mm::PhysAddr kB{0x2000};
#ifdef MM_MISUSE
inline constexpr auto kSum = kA + kB;
#else
inline constexpr auto kSum = kA + mm::raw(kB);
#endif
