// SPDX-License-Identifier: BSD-2-Clause-Patent
// Calls back. Message: u8 command (7), 7 bytes, u64 function. Weak: the function is the caller's; else its number is
// that of one of ours.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
namespace {
constexpr u8 kCall = 7;
}  // namespace

Status handle(u8* message, u64* size) noexcept {
  if (*size < 2 * sizeof(u64) || message[0] != kCall) {
    return Status::InvalidParameter;
  }
  u64 const function = get<u64>(message, sizeof(u64));
  if (!kWeak) {
    return function == 0 ? Status::Success : Status::Unsupported;
  }
  if (function != 0) {
    reinterpret_cast<void MM_EFIAPI (*)()>(function)();
  }
  return Status::Success;
}
}  // namespace vulnerable
