// SPDX-License-Identifier: BSD-2-Clause-Patent
// Writes a value where the message says. Message: u64 address, u64 value. Weak: looks for null and nothing else.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
Status handle(u8* message, u64* size) noexcept {
  if (*size < 2 * sizeof(u64)) {
    return Status::InvalidParameter;
  }
  u64 const address = get<u64>(message);
  bool const good =
      kWeak ? address >= mm::kPageSize : mm::driver::syscall(mm::abi::Syscall::MmUnblocked, address, sizeof(u64)) == 1;
  if (!good) {
    return Status::SecurityViolation;
  }
  *mm::driver::at<u64 volatile>(address) = get<u64>(message, sizeof(u64));
  return Status::Success;
}
}  // namespace vulnerable
