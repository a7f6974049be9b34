// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "scenarios/drivers/victim.hpp"

namespace victim {

u8 g_store[kStoreBytes];
u64 g_table[8] = {0, 1, 4, 9, 16, 25, 36, 49};
Record const g_record{{'o', 'p', 'e', 'n'},
                      {0xC0, 0xDE, 0x5E, 0xC3, 0xE7, 0x15, 0x0B, 0xAD, 0xC0, 0xDE, 0x5E, 0xC3, 0xE7, 0x15, 0x0B, 0xAD}};

namespace {

constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0080", 36);
constexpr u64 kHuge = 0x10'0000;
mm::driver::MmSystemTable* g_mmst = nullptr;

void MM_EFIAPI make_length_huge(void* at) { *static_cast<u64 volatile*>(at) = kHuge; }

mm::Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < sizeof(u64)) {
    return mm::Status::InvalidParameter;
  }
  return handle(static_cast<Attack>(mm::driver::get<u64>(buffer)), static_cast<u8*>(buffer), size);
}

}  // namespace

mm::driver::MmSystemTable* mmst() noexcept { return g_mmst; }

mm::Status read_save_state(u64 width, mm::u32 id, u64 cpu, void* to) noexcept {
  void* found = nullptr;
  mm::Status const status = g_mmst->locate_protocol(&mm::guids::gEfiMmCpuProtocolGuid, nullptr, &found);
  if (status != mm::Status::Success) {
    return status;
  }
  auto* const protocol = static_cast<mm::user::MmCpuProtocol*>(found);
  return protocol->read_save_state(protocol, width, id, cpu, to);
}
u64 read_register(mm::u32 id, u64 cpu) noexcept {
  u64 value = 0;
  return read_save_state(sizeof value, id, cpu, &value) == mm::Status::Success ? value : 0;
}

void copy(void* to, void const* from, u64 bytes) noexcept {
  auto* out = static_cast<u8 volatile*>(to);
  auto const* in = static_cast<u8 const volatile*>(from);
  for (u64 i = 0; i < bytes; ++i) {
    out[i] = in[i];
  }
}

mm::Status on_second_cpu(mm::driver::ApProcedureFn procedure, u64 argument) noexcept {
  return g_mmst->startup_this_ap(procedure, 1, mm::driver::at<void>(argument));
}
void device_interferes(u64 address) noexcept { static_cast<void>(on_second_cpu(make_length_huge, address)); }

[[gnu::noinline]] u64 recurse(u64 levels) noexcept {
  u8 volatile frame[224];
  frame[0] = static_cast<u8>(levels);
  u64 const below = levels == 0 ? 0 : recurse(levels - 1);
  return below + frame[0];
}

}  // namespace victim

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  victim::g_mmst = mmst;
  mm::driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(victim::on_message, &victim::kHandler, &dispatch);
}
