// SPDX-License-Identifier: BSD-2-Clause-Patent
// Keeps a name. Message: u8 command (2: keep), name. Weak: forgets the room for the zero at its end.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
namespace {
constexpr u8 kKeep = 2;
constexpr u64 kMostName = 200;
}  // namespace

Status handle(u8* message, u64* size) noexcept {
  if (*size < 2 || *size > kMostName || message[0] != kKeep) {
    return Status::InvalidParameter;
  }
  u64 const bytes = *size - 1;
  u8* const name = allocate(kWeak ? bytes : bytes + 1);
  if (name == nullptr) {
    return Status::OutOfResources;
  }
  copy(name, message + 1, bytes);
  u8 volatile* const end = name + bytes;
  *end = 0;
  release(name);
  return Status::Success;
}
}  // namespace vulnerable
