// SPDX-License-Identifier: BSD-2-Clause-Patent
// Keeps a blob. Message: u8 command (1: load, 2: read), u8 unused, u16 bytes. Weak: what is too large is a success that
// leaves the blob of before, which is gone.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
namespace {
constexpr u8 kLoad = 1, kRead = 2;
constexpr mm::u16 kMost = 1024;
u8* g_blob = nullptr;

Status load(u64 bytes) noexcept {
  if (g_blob != nullptr) {
    release(g_blob);
  }
  if (bytes == 0 || bytes > kMost) {
    g_blob = kWeak ? g_blob : nullptr;
    return kWeak ? Status::Success : Status::BadBufferSize;
  }
  g_blob = allocate(bytes);
  if (g_blob == nullptr) {
    return Status::OutOfResources;
  }
  g_blob[0] = 1;
  return Status::Success;
}
}  // namespace

Status handle(u8* message, u64* size) noexcept {
  if (*size < 4) {
    return Status::InvalidParameter;
  }
  if (message[0] == kLoad) {
    return load(get<mm::u16>(message, 2));
  }
  if (message[0] != kRead || g_blob == nullptr) {
    return Status::NotFound;
  }
  message[0] = *static_cast<u8 const volatile*>(g_blob);
  return Status::Success;
}
}  // namespace vulnerable
