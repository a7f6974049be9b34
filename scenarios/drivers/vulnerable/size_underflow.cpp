// SPDX-License-Identifier: BSD-2-Clause-Patent
// Keeps data. Message: u32 length, that of the message; data. Weak: subtracts before it compares, and compares as int.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
namespace {
constexpr u32 kStoreBytes = 64;
u8 g_store[kStoreBytes];
}  // namespace

Status handle(u8* message, u64* size) noexcept {
  if (*size < sizeof(u32)) {
    return Status::InvalidParameter;
  }
  u32 const length = get<u32>(message);
  u32 const bytes = length - u32{sizeof(u32)};
  bool const good = kWeak ? static_cast<int>(bytes) <= static_cast<int>(kStoreBytes)
                          : length >= sizeof(u32) && length <= *size && bytes <= kStoreBytes;
  if (!good) {
    return Status::InvalidParameter;
  }
  copy(g_store, message + sizeof(u32), bytes);
  return Status::Success;
}
}  // namespace vulnerable
