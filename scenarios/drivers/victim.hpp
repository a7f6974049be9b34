// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "scenarios/drivers/sdk/mm_driver.hpp"

/// Two drivers that answer to the same messages: VictimWeak makes the mistakes that scenarios/attacks is about, one a
/// class, and VictimSound does the same work without them.
namespace victim {

using mm::u64;
using mm::u8;

/// First u64 of a message: the class of attack, by its number in scenarios/attacks/README.md. What follows is beside
/// it.
enum class Attack : u64 {
  Size = 1,        ///< u64 declared bytes (8 for itself, then data); data. Keeps the data.
  Pointer = 2,     ///< u64 address, u64 value. Writes the value there.
  Callout = 3,     ///< u64 address of a function of the caller, u64 number of one of ours
  TwoFetches = 4,  ///< u64 address of {u64 bytes, data} in unblocked memory. Keeps the data.
  SaveState = 6,   ///< u64 register, u64 CPU, u64 width. Reads the register.
  Stack = 14,      ///< u64 levels of recursion on the second CPU
  Privilege = 17,  ///< u64 port. Reads a byte of it.
  Code = 18,       ///< u64 value. Keeps it.
  Index = 20,      ///< u64 index into a table of ours. The reply has the entry behind the class.
  Leak = 21,       ///< The reply has the public part of a record.
};

inline constexpr u64 kStoreBytes = 64;
/// Where messages are kept.
extern u8 g_store[kStoreBytes];
extern u64 g_table[8];
/// The secret is known to the scenario, which looks for it in what comes out.
struct Record {
  u8 open[16];
  u8 secret[16];
};
extern Record const g_record;

mm::driver::MmSystemTable* mmst() noexcept;
/// Copies bytes one by one: no library call that could be smarter than the mistake.
void copy(void* to, void const* from, u64 bytes) noexcept;
/// What a device with access to memory does at the worst moment: makes the length at `address` huge, from the second
/// CPU.
void device_interferes(u64 address) noexcept;
/// Runs `procedure` on the second CPU.
mm::Status on_second_cpu(mm::driver::ApProcedureFn procedure, u64 argument) noexcept;
/// Uses `levels` times 256 bytes of stack.
u64 recurse(u64 levels) noexcept;

/// The handler; `size` is at least 8. Each driver defines it.
mm::Status handle(Attack attack, u8* buffer, u64* size) noexcept;

}  // namespace victim
