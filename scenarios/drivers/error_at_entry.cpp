// SPDX-License-Identifier: BSD-2-Clause-Patent
// ErrorAtEntry: registers a handler (GUID ..0031), then returns DEVICE_ERROR. The handler must never be called.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {
constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0031", 36);
mm::Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void*, mm::u64*) { return mm::Status::Success; }
}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  mm::driver::Handle dispatch = 0;
  (void)mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
  return mm::Status::DeviceError;
}
