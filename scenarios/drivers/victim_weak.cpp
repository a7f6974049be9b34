// SPDX-License-Identifier: BSD-2-Clause-Patent
// VictimWeak: every handler here is wrong on purpose.

#include "scenarios/drivers/victim.hpp"

extern "C" mm::u64 attack_in(mm::u64 port) noexcept;

namespace victim {
namespace {

using mm::Status;
using mm::abi::Syscall;
using mm::driver::get;
using mm::driver::put;
using mm::driver::syscall;

/// Subtracts before it compares, and compares as int: 4 becomes -4, 2^32 + 24 becomes 16.
Status keep(u8 const* buffer) noexcept {
  u64 const bytes = get<u64>(buffer, 8) - sizeof(u64);
  if (static_cast<int>(bytes) > static_cast<int>(kStoreBytes)) {
    return Status::InvalidParameter;
  }
  copy(g_store, buffer + 16, bytes);
  return Status::Success;
}

/// Checks what it does not use: the length is fetched again after the check.
Status keep_shared(u8 const* buffer) noexcept {
  u64 const at = get<u64>(buffer, 8);
  auto const* const length = mm::driver::at<u64 const volatile>(at);
  if (*length > kStoreBytes) {
    return Status::InvalidParameter;
  }
  device_interferes(at);
  copy(g_store, mm::driver::at<u8 const>(at + sizeof(u64)), *length);
  return Status::Success;
}

/// Takes whoever was in an I/O instruction last, and follows its pointer.
Status follow_rsi(u8* buffer) noexcept {
  u64 who = 0;
  for (u64 cpu = 0; cpu < mmst()->number_of_cpus; ++cpu) {
    IoInfo io{};
    who = read_save_state(sizeof io, kRegisterIo, cpu, &io) == Status::Success ? cpu : who;
  }
  u64 const value = *mm::driver::at<u64 const volatile>(read_register(kRegisterRsi, who));
  put(buffer, 8, value);
  return Status::Success;
}

/// Trusts the address that the normal world gave the device.
Status write_device(u64 value) noexcept {
  u64 const bar = syscall(Syscall::IoRead, kConfigData, static_cast<u64>(mm::abi::IoWidth::Dword)) & kBarAddress;
  *mm::driver::at<u64 volatile>(bar) = value;
  return Status::Success;
}

/// Passes register, CPU and width on as they came.
Status read_any_register(u8 const* buffer) noexcept {
  u64 const token = mm::user::address_of(g_store);
  syscall(Syscall::SaveStateRead, token, get<u64>(buffer, 8), get<u64>(buffer, 16));
  return Status{syscall(Syscall::SaveStateRead2, token, get<u64>(buffer, 24), token)};
}

void MM_EFIAPI recurse_freely(void* levels) { recurse(mm::user::address_of(levels)); }

/// The argument is a number, but the supervisor takes an address: it is put into the store.
void MM_EFIAPI recurse_as_told(void* levels) { recurse_freely(mm::driver::at<void>(get<u64>(levels))); }

/// Patches its own code.
Status patch(u8 const* buffer) noexcept {
  put(reinterpret_cast<void*>(&recurse), 0, get<u64>(buffer, 8));
  return Status::Success;
}

/// Trusts the index.
Status look_up(u8* buffer, u64 index) noexcept {
  u64 const entry = *(static_cast<u64 const volatile*>(g_table) + index);
  put(buffer, 8, entry);
  return Status::Success;
}

/// Sends the whole record.
Status tell(u8* buffer, u64* size) noexcept {
  copy(buffer, &g_record, sizeof g_record);
  *size = sizeof g_record;
  return Status::Success;
}

}  // namespace

Status handle(Attack attack, u8* buffer, u64* size) noexcept {
  u64 const first = get<u64>(buffer, 8);
  switch (attack) {
    case Attack::Size:
      return keep(buffer);
    case Attack::Pointer:
      *mm::driver::at<u64 volatile>(first) = get<u64>(buffer, 16);
      return Status::Success;
    case Attack::Callout:
      mm::driver::at<void MM_EFIAPI()>(first)();
      return Status::Success;
    case Attack::TwoFetches:
      return keep_shared(buffer);
    case Attack::OtherCpu:
      return follow_rsi(buffer);
    case Attack::SaveState:
      return read_any_register(buffer);
    case Attack::Device:
      return write_device(first);
    case Attack::Stack:
      put(g_store, 0, first);
      return on_second_cpu(recurse_as_told, mm::user::address_of(g_store));
    case Attack::Privilege:
      put(buffer, 8, attack_in(first));
      return Status::Success;
    case Attack::Code:
      return patch(buffer);
    case Attack::Index:
      return look_up(buffer, first);
    case Attack::Leak:
      return tell(buffer, size);
    case Attack::Late:
      put(buffer, 8, read_register(kRegisterRbx, 0));
      return Status::Success;
  }
  return Status::Unsupported;
}

}  // namespace victim
