// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <concepts>

#include "core/abi/syscalls.hpp"
#include "core/base/types.hpp"

/// Calling convention of every function that crosses between images in MM (EFIAPI on x86-64).
#define MM_EFIAPI __attribute__((ms_abi))

/// The ring-3 side: what the user core demands of the machine it runs on.
namespace mm::user {

/// The ring-3 role. `syscall` is a system call (core/user/RING3.md 5): RAX = index, RDX, R8, R9; returns RAX.
/// `call_driver` enters a driver image at `entry` with (image handle, MMST) such that both flavours come back: R15
/// holds a far pointer to a ring-3 trampoline (core/user/RING3.md 2.2); returns the EFI_STATUS of the entry point.
template <typename R>
concept Ring3 = requires(R& r, u64 v) {
  { r.syscall(v, v, v, v) } noexcept -> std::same_as<u64>;
  { r.call_driver(v, v, v) } noexcept -> std::same_as<u64>;
};

/// Issues a system call by name.
template <Ring3 R>
u64 call(R& ring3, abi::Syscall index, u64 a = 0, u64 b = 0, u64 c = 0) noexcept {
  return ring3.syscall(static_cast<u64>(index), a, b, c);
}

/// Emits one trace note (abi::Syscall::TraceNote); has no other effect. False: nobody listens.
template <Ring3 R>
bool note(R& ring3, abi::UserNote kind, u64 a, u64 b = 0) noexcept {
  return call(ring3, abi::Syscall::TraceNote, static_cast<u64>(kind), a, b) == 0;
}

/// The object at a ring-3 address. Ring 3 runs on identity tables: an address is a pointer.
template <typename T>
T* at(u64 address) noexcept {
  return reinterpret_cast<T*>(address);
}
inline u64 address_of(void const* p) noexcept { return reinterpret_cast<u64>(p); }

/// Reads a trivially copyable object from memory of any alignment.
template <typename T>
T load(u64 address) noexcept {
  T value{};
  __builtin_memcpy(&value, at<void const>(address), sizeof(T));
  return value;
}
template <typename T>
void store(u64 address, T const& value) noexcept {
  __builtin_memcpy(at<void>(address), &value, sizeof(T));
}

}  // namespace mm::user
