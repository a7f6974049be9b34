// SPDX-License-Identifier: BSD-2-Clause-Patent
// One session at a time. Message: u8 command (1: open, 2: close, 3: write), u8 value. Weak: a closed session can be
// written.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
namespace {
constexpr u8 kOpen = 1, kClose = 2, kWrite = 3;
constexpr u64 kSessionBytes = 96;
u8* g_session = nullptr;
bool g_open = false;
}  // namespace

Status handle(u8* message, u64* size) noexcept {
  if (*size < 2) {
    return Status::InvalidParameter;
  }
  if (message[0] == kOpen && !g_open) {
    g_session = allocate(kSessionBytes);
    g_open = g_session != nullptr;
    return g_open ? Status::Success : Status::OutOfResources;
  }
  if (message[0] == kClose && g_open) {
    release(g_session);
    g_open = false;
    return Status::Success;
  }
  if (message[0] != kWrite || (kWeak ? g_session == nullptr : !g_open)) {
    return Status::NotStarted;
  }
  u8 volatile* const where = g_session + message[1] % kSessionBytes;
  *where = message[1];
  return Status::Success;
}
}  // namespace vulnerable
