// SPDX-License-Identifier: BSD-2-Clause-Patent
// Adds numbers. Message: u32 count, u32 unused, that many u64. Weak: their bytes are computed in 32 bits.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
Status handle(u8* message, u64* size) noexcept {
  constexpr u64 kHead = 8;
  if (*size < 2 * kHead) {
    return Status::InvalidParameter;
  }
  u32 const count = get<u32>(message);
  u64 const bytes = kWeak ? count * u32{sizeof(u64)} : count * u64{sizeof(u64)};
  if (count == 0 || bytes > *size - kHead) {
    return Status::InvalidParameter;
  }
  u64 sum = 0;
  for (u64 i = 0; i < count; ++i) {
    sum += get<u64>(message, kHead + i * sizeof(u64));
  }
  put(message, kHead, sum);
  return Status::Success;
}
}  // namespace vulnerable
