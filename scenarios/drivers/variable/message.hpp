// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "scenarios/drivers/sdk/mm_driver.hpp"
#include "scenarios/drivers/variable/protocol.hpp"
#include "scenarios/drivers/variable/record.hpp"

/// Reading a message: every length in it is held against the message before it is used.
namespace mm::variable {

/// A message's payload: what follows the function header. The supervisor's copy, so nobody changes it meanwhile.
struct Payload {
  u8* at = nullptr;
  u64 bytes = 0;

  template <typename T>
  T get(u64 offset) const noexcept {
    return driver::get<T>(at, offset);
  }
  template <typename T>
  void put(u64 offset, T const& value) const noexcept {
    driver::put(at, offset, value);
  }
};

/// Bytes of the CHAR16 string in `room` bytes, terminator included; 0: not terminated.
inline u64 string_bytes(u8 const* text, u64 room) noexcept {
  for (u64 end = 2; end <= room; end += 2) {
    if (driver::get<u16>(text, end - 2) == 0) {
      return end;
    }
  }
  return 0;
}

/// The name at `name_at`, whose room stands at `size_at`. AccessDenied: the room is not in the message, or its last
/// CHAR16 is not a terminator. What stands behind an earlier terminator does not belong to the name.
inline Status read_name(Payload payload, u64 size_at, u64 name_at, Name& name) noexcept {
  u64 const room = payload.get<u64>(size_at);
  u8 const* const text = payload.at + name_at;
  if (room > payload.bytes - name_at || room < 2 || driver::get<u16>(text, align_down(room, 2) - 2) != 0) {
    return Status::AccessDenied;
  }
  name = {payload.get<Guid>(0), text, string_bytes(text, room)};
  return Status::Success;
}

}  // namespace mm::variable
