// SPDX-License-Identifier: BSD-2-Clause-Patent
// Counts records. Message: records, each u8 bytes, itself included, u8 type, data. Weak: a record of no bytes is
// followed by itself.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
Status handle(u8* message, u64* size) noexcept {
  u64 count = 0;
  for (u64 at = 0; at + 2 <= *size;) {
    u8 const bytes = *static_cast<u8 const volatile*>(message + at);
    if (bytes > *size - at || (!kWeak && bytes < 2)) {
      return Status::InvalidParameter;
    }
    count += *static_cast<u8 const volatile*>(message + at + 1) == 1 ? 1 : 0;
    at += bytes;
  }
  return count == 0 ? Status::NotFound : Status::Success;
}
}  // namespace vulnerable
