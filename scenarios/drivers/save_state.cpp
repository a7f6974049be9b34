// SPDX-License-Identifier: BSD-2-Clause-Patent
// SaveState: reads the save state of a CPU by EFI_MM_CPU_PROTOCOL. Message, 32 bytes or more: u32 register at 0, u32
// CPU at 4, u64 bytes at 8. Reply: the EFI_STATUS at 0, what was read at 8, up to 24 bytes.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

using mm::Status;
using mm::u32;
using mm::u64;

constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0050", 36);
constexpr u64 kMessageBytes = 32;
constexpr u64 kMostBytes = 24;

mm::user::MmCpuProtocol* g_cpu = nullptr;

Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < kMessageBytes) {
    return Status::InvalidParameter;
  }
  u32 const id = mm::driver::get<u32>(buffer);
  u32 const cpu = mm::driver::get<u32>(buffer, 4);
  u64 const bytes = mm::driver::get<u64>(buffer, 8);
  u64 value[3] = {};
  Status const status =
      bytes > kMostBytes ? Status::InvalidParameter : g_cpu->read_save_state(g_cpu, bytes, id, cpu, value);
  mm::driver::put(buffer, 0, static_cast<u64>(status));
  for (u64 i = 0; i < 3; ++i) {
    mm::driver::put(buffer, 8 + 8 * i, value[i]);
  }
  return Status::Success;
}

}  // namespace

Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  void* found = nullptr;
  if (Status const s = mmst->locate_protocol(&mm::guids::gEfiMmCpuProtocolGuid, nullptr, &found);
      s != Status::Success) {
    return s;
  }
  g_cpu = static_cast<mm::user::MmCpuProtocol*>(found);
  mm::driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
