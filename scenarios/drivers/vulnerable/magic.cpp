// SPDX-License-Identifier: BSD-2-Clause-Patent
// A door for the factory. Message: u64 key, u64 address. Weak: whoever has the key may read anything.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
Status handle(u8* message, u64* size) noexcept {
  constexpr u64 kKey = 0xB1A7'5E0F'93D2'4C68;
  if (*size < 2 * sizeof(u64) || get<u64>(message) != kKey) {
    return Status::AccessDenied;
  }
  if (!kWeak) {
    return Status::Unsupported;
  }
  u64 const value = *mm::driver::at<u64 const volatile>(get<u64>(message, sizeof(u64)));
  put(message, sizeof(u64), value);
  return Status::Success;
}
}  // namespace vulnerable
