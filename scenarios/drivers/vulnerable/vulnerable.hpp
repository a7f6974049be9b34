// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "scenarios/drivers/sdk/mm_driver.hpp"

/// Drivers with one mistake each, for `mmsim fuzz driver`: each source is compiled twice, as it must not be (MM_WEAK 1)
/// and as it should (0). MM_VULNERABLE is its number, which ends its handler's GUID.
namespace vulnerable {

using mm::Status;
using mm::u32;
using mm::u64;
using mm::u8;
using mm::driver::get;
using mm::driver::put;

inline constexpr bool kWeak = MM_WEAK != 0;

/// Pool memory; null: there is none.
u8* allocate(u64 bytes) noexcept;
void release(void* memory) noexcept;

/// Byte by byte, so that no compiler sees how far it goes.
inline void copy(void* to, void const* from, u64 bytes) noexcept {
  auto* out = static_cast<u8 volatile*>(to);
  auto const* in = static_cast<u8 const volatile*>(from);
  for (u64 i = 0; i < bytes; ++i) {
    out[i] = in[i];
  }
}

/// The handler, which each driver defines. `size` is what the message has, and what the reply may have.
Status handle(u8* message, u64* size) noexcept;

}  // namespace vulnerable
