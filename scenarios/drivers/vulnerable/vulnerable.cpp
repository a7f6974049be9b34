// SPDX-License-Identifier: BSD-2-Clause-Patent
// What the drivers of this folder share: entry point, registration, pool.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
namespace {

constexpr mm::Guid handler_guid() {
  mm::Guid guid = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E6600", 36);
  guid.data4[7] = MM_VULNERABLE;
  return guid;
}
constexpr mm::Guid kHandler = handler_guid();
constexpr u32 kRuntimeServicesData = 6;
mm::driver::MmSystemTable* g_mmst = nullptr;

Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void* buffer, u64* size) {
  return buffer == nullptr || size == nullptr ? Status::InvalidParameter : handle(static_cast<u8*>(buffer), size);
}

}  // namespace

u8* allocate(u64 bytes) noexcept {
  void* memory = nullptr;
  return g_mmst->allocate_pool(kRuntimeServicesData, bytes, &memory) == Status::Success ? static_cast<u8*>(memory)
                                                                                        : nullptr;
}
void release(void* memory) noexcept { static_cast<void>(g_mmst->free_pool(memory)); }

}  // namespace vulnerable

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  vulnerable::g_mmst = mmst;
  mm::driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(vulnerable::on_message, &vulnerable::kHandler, &dispatch);
}
