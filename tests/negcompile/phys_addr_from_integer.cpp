// SPDX-License-Identifier: BSD-2-Clause-Patent
// A number becomes an address only where somebody says so.
#include "core/base/types.hpp"

constexpr mm::u64 kNumber = 0x1000;
#ifdef MM_MISUSE
inline constexpr mm::PhysAddr kAddress = kNumber;
#else
inline constexpr mm::PhysAddr kAddress{kNumber};
#endif
