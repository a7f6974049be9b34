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
  OtherCpu = 5,    ///< The reply has the u64 to which RSI points on the CPU that wrote to port 0xB2.
  SaveState = 6,   ///< u64 register, u64 CPU, u64 width. Reads the register.
  Device = 11,     ///< u64 value. Writes it to the first register of the device that 0xCF8 selects the address of.
  Stack = 14,      ///< u64 levels of recursion on the second CPU
  Privilege = 17,  ///< u64 port. Reads a byte of it.
  Code = 18,       ///< u64 value. Keeps it.
  Index = 20,      ///< u64 index into a table of ours. The reply has the entry behind the class.
  Leak = 21,       ///< The reply has the public part of a record.
  Late = 22,       ///< u64 value, which is in RBX as well. The reply has it behind the class.
};

inline constexpr u64 kStoreBytes = 64;
/// Ports of the software MMI and of PCI configuration data; the address bits of a base address register.
inline constexpr u64 kPortApmCnt = 0xB2, kConfigData = 0xCFC, kBarAddress = 0xFFFF'FFF0;
/// EFI_MM_SAVE_STATE_REGISTER.
inline constexpr mm::u32 kRegisterRbx = 39, kRegisterRsi = 44, kRegisterIo = 512;
/// EFI_MM_SAVE_STATE_IO_INFO.
struct IoInfo {
  u64 data;
  mm::u16 port;
  mm::u32 width;
  mm::u32 type;
};
static_assert(sizeof(IoInfo) == 24);
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
/// EFI_MM_CPU_PROTOCOL.ReadSaveState().
mm::Status read_save_state(u64 width, mm::u32 id, u64 cpu, void* to) noexcept;
/// A register of 8 bytes; 0 when it cannot be read.
u64 read_register(mm::u32 id, u64 cpu) noexcept;
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
