// SPDX-License-Identifier: BSD-2-Clause-Patent
// Second: the reply is the length of the message as u64, followed by nothing; it needs a message of 8 bytes or more.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0002", 36);

mm::Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void* buffer, mm::u64* size) {
  if (buffer == nullptr || size == nullptr || *size < sizeof(mm::u64)) {
    return mm::Status::InvalidParameter;
  }
  mm::driver::put(buffer, 0, *size);
  *size = sizeof(mm::u64);
  return mm::Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  mm::driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
