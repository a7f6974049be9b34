// SPDX-License-Identifier: BSD-2-Clause-Patent
// An EFI_STATUS does not turn into a number by accident, nor a number into a status.
#include "core/base/types.hpp"

#ifdef MM_MISUSE
inline constexpr mm::u64 kCode = mm::Status::NotFound;
#else
inline constexpr mm::u64 kCode = static_cast<mm::u64>(mm::Status::NotFound);
#endif
