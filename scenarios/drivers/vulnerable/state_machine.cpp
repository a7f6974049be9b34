// SPDX-License-Identifier: BSD-2-Clause-Patent
// An update in three messages. Message: u32 command (1: begin, 2: data, 3: commit), u32 ticket, which the reply to
// begin has. Weak: commit uses what data would have brought, with or without it.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
namespace {
constexpr u32 kBegin = 1, kData = 2, kCommit = 3;
constexpr u64 kBytes = 24;
enum class State : u8 { Idle, Begun, HasData };
State g_state = State::Idle;
u32 g_ticket = 0x3C91'0A55;
u8* g_data = nullptr;

Status begin(u8* message) noexcept {
  g_ticket = g_ticket * 0x0019'660D + 0x3C6E'F35F;
  g_state = State::Begun;
  put(message, 4, g_ticket);
  return Status::Success;
}
Status data() noexcept {
  g_data = allocate(kBytes);
  g_state = g_data != nullptr ? State::HasData : State::Idle;
  return g_data != nullptr ? Status::Success : Status::OutOfResources;
}
/// Weak: gives the data back before it has read them.
Status commit(u8* message) noexcept {
  if (kWeak) {
    release(g_data);
  }
  copy(message, g_data, 1);
  if (!kWeak) {
    release(g_data);
  }
  g_state = State::Idle;
  return Status::Success;
}
}  // namespace

Status handle(u8* message, u64* size) noexcept {
  if (*size < 2 * sizeof(u32)) {
    return Status::InvalidParameter;
  }
  u32 const command = get<u32>(message);
  if (command == kBegin && g_state == State::Idle) {
    return begin(message);
  }
  if (get<u32>(message, 4) != g_ticket) {
    return Status::AccessDenied;
  }
  if (command == kData && g_state == State::Begun) {
    return data();
  }
  if (command == kCommit && g_state == State::HasData) {
    put(message, 0, u64{0});
    return kWeak ? commit(message) : (release(g_data), g_state = State::Idle, Status::Success);
  }
  return Status::NotStarted;
}
}  // namespace vulnerable
