// SPDX-License-Identifier: BSD-2-Clause-Patent
// RsmDriver (GUID ..0040): executes RSM in its handler. An image like this must be refused at load.
// RsmInside (the same GUID): only has its bytes inside another instruction. RsmHidden (the same GUID): jumps to them.

#include "scenarios/drivers/sdk/mm_driver.hpp"

extern "C" void leave_mm() noexcept;

namespace {
constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0040", 36);
mm::Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void*, mm::u64*) {
  leave_mm();
  return mm::Status::Success;
}
}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  mm::driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
