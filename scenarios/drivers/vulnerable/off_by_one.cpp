// SPDX-License-Identifier: BSD-2-Clause-Patent
// The sum of the bytes of a message, in its first. Weak: takes one more than there are.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
Status handle(u8* message, u64* size) noexcept {
  if (*size < 8) {
    return Status::InvalidParameter;
  }
  u64 const end = kWeak ? *size + 1 : *size;
  u8 sum = 0;
  for (u64 i = 1; i < end; ++i) {
    sum = static_cast<u8>(sum + *static_cast<u8 const volatile*>(message + i));
  }
  message[0] = sum;
  return Status::Success;
}
}  // namespace vulnerable
