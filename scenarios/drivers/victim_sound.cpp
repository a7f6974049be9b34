// SPDX-License-Identifier: BSD-2-Clause-Patent
// VictimSound: the work of VictimWeak, done with care. Nothing of a message is used before it is checked.

#include "scenarios/drivers/victim.hpp"

namespace victim {
namespace {

using mm::Status;
using mm::abi::Syscall;
using mm::driver::get;
using mm::driver::put;
using mm::driver::syscall;

constexpr u64 kMostLevels = 16;
u64 g_kept = 0;

/// What the message declares must be there, and must fit.
Status keep(u8 const* buffer, u64 size) noexcept {
  u64 const declared = get<u64>(buffer, 8);
  if (size < 16 || declared < sizeof(u64) || declared - sizeof(u64) > kStoreBytes ||
      declared - sizeof(u64) > size - 16) {
    return Status::InvalidParameter;
  }
  copy(g_store, buffer + 16, declared - sizeof(u64));
  return Status::Success;
}

bool unblocked(u64 address, u64 bytes) noexcept { return syscall(Syscall::MmUnblocked, address, bytes) == 1; }

Status write_outside(u8 const* buffer) noexcept {
  u64 const address = get<u64>(buffer, 8);
  if (!unblocked(address, sizeof(u64))) {
    return Status::SecurityViolation;
  }
  *mm::driver::at<u64 volatile>(address) = get<u64>(buffer, 16);
  return Status::Success;
}

/// Fetches the length once; what is checked is what is used.
Status keep_shared(u8 const* buffer) noexcept {
  u64 const at = get<u64>(buffer, 8);
  if (!unblocked(at, sizeof(u64))) {
    return Status::SecurityViolation;
  }
  u64 const length = *mm::driver::at<u64 const volatile>(at);
  if (length > kStoreBytes || (length != 0 && !unblocked(at + sizeof(u64), length))) {
    return Status::InvalidParameter;
  }
  device_interferes(at);
  copy(g_store, mm::driver::at<u8 const>(at + sizeof(u64)), length);
  return Status::Success;
}

/// The CPU whose save state says that it wrote a byte to 0xB2. More than one: nobody knows which of them it was.
mm::Expected<u64> who_asked() noexcept {
  constexpr mm::u32 kByte = 0, kOutput = 2;
  u64 found = 0;
  u64 who = 0;
  for (u64 cpu = 0; cpu < mmst()->number_of_cpus; ++cpu) {
    IoInfo io{};
    if (read_save_state(sizeof io, kRegisterIo, cpu, &io) == Status::Success && io.port == kPortApmCnt &&
        io.width == kByte && io.type == kOutput) {
      who = cpu;
      ++found;
    }
  }
  return found == 1 ? mm::Expected<u64>{who} : std::unexpected(Status::AccessDenied);
}
Status follow_rsi(u8* buffer, u64 size) noexcept {
  auto const cpu = who_asked();
  u64 const at = cpu ? read_register(kRegisterRsi, *cpu) : 0;
  if (size < 16 || !unblocked(at, sizeof(u64))) {
    return Status::SecurityViolation;
  }
  u64 const value = *mm::driver::at<u64 const volatile>(at);
  put(buffer, 8, value);
  return Status::Success;
}

/// The protocol checks register and CPU; the width is that of the store or less.
Status read_any_register(u8 const* buffer) noexcept {
  u64 const width = get<u64>(buffer, 24);
  if (get<u64>(buffer, 8) > UINT32_MAX || width > kStoreBytes) {
    return Status::InvalidParameter;
  }
  return read_save_state(width, get<mm::u32>(buffer, 8), get<u64>(buffer, 16), g_store);
}

/// Where the normal world says that the device is may be anywhere: only what was opened is written.
Status write_device(u8 const* buffer) noexcept {
  u64 const bar = syscall(Syscall::IoRead, kConfigData, static_cast<u64>(mm::abi::IoWidth::Dword)) & kBarAddress;
  if (!unblocked(bar, sizeof(u64))) {
    return Status::SecurityViolation;
  }
  *mm::driver::at<u64 volatile>(bar) = get<u64>(buffer, 8);
  return Status::Success;
}

void MM_EFIAPI recurse_a_little(void* levels) { recurse(get<u64>(levels)); }
Status use_stack(u64 levels) noexcept {
  if (levels > kMostLevels) {
    return Status::InvalidParameter;
  }
  put(g_store, 0, levels);
  return on_second_cpu(recurse_a_little, mm::user::address_of(g_store));
}

Status entry_of(u8* buffer, u64 size) noexcept {
  u64 const index = get<u64>(buffer, 8);
  if (size < 16 || index >= sizeof g_table / sizeof g_table[0]) {
    return Status::InvalidParameter;
  }
  put(buffer, 8, g_table[index]);
  return Status::Success;
}

/// A port by the supervisor, which asks its policy.
Status read_port(u8* buffer) noexcept {
  put(buffer, 8, syscall(Syscall::IoRead, get<u64>(buffer, 8), static_cast<u64>(mm::abi::IoWidth::Byte)));
  return Status::Success;
}

Status tell(u8* buffer, u64* size) noexcept {
  copy(buffer, g_record.open, sizeof g_record.open);
  *size = sizeof g_record.open;
  return Status::Success;
}

/// Bytes that the handler of a class reads or writes, whatever they hold.
u64 least_bytes(Attack attack) noexcept {
  switch (attack) {
    case Attack::Late:
      return 8;
    case Attack::Size:
    case Attack::TwoFetches:
    case Attack::OtherCpu:
    case Attack::Device:
    case Attack::Stack:
    case Attack::Privilege:
    case Attack::Code:
    case Attack::Index:
    case Attack::Leak:
      return 16;
    case Attack::Pointer:
    case Attack::Callout:
      return 24;
    case Attack::SaveState:
      return 32;
  }
  return 0;
}

}  // namespace

Status handle(Attack attack, u8* buffer, u64* size) noexcept {
  if (*size < least_bytes(attack)) {
    return Status::InvalidParameter;
  }
  switch (attack) {
    case Attack::Size:
      return keep(buffer, *size);
    case Attack::Pointer:
      return write_outside(buffer);
    case Attack::Callout:
      // Nobody outside has a function for MM: its number chooses one of ours.
      return get<u64>(buffer, 16) == 0 ? Status::Success : Status::Unsupported;
    case Attack::TwoFetches:
      return keep_shared(buffer);
    case Attack::OtherCpu:
      return follow_rsi(buffer, *size);
    case Attack::SaveState:
      return read_any_register(buffer);
    case Attack::Device:
      return write_device(buffer);
    case Attack::Stack:
      return use_stack(get<u64>(buffer, 8));
    case Attack::Privilege:
      return read_port(buffer);
    case Attack::Code:
      g_kept = get<u64>(buffer, 8);
      return Status::Success;
    case Attack::Index:
      return entry_of(buffer, *size);
    case Attack::Leak:
      return tell(buffer, size);
    case Attack::Late:
      return Status::Success;  // the value is in the supervisor's copy of the message, which does not change
  }
  return Status::Unsupported;
}

}  // namespace victim
