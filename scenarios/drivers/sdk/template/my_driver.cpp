// SPDX-License-Identifier: BSD-2-Clause-Patent
// Counts, as the driver in C beside it: the reply to a message of 8 bytes is its number plus one.
#include "scenarios/drivers/sdk/mm_driver.hpp"

using namespace mm;

namespace {

constexpr Guid kHandler = "11111111-2222-3333-4444-555555555555"_guid;

/// The buffer is the supervisor's copy of the message: it does not change while the handler reads it.
Status MM_EFIAPI on_message(driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size != sizeof(u64)) {
    return Status::InvalidParameter;
  }
  *static_cast<u64*>(buffer) += 1;
  return Status::Success;
}

}  // namespace

Status mm_driver_main(driver::Handle, driver::MmSystemTable* mmst) noexcept {
  driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
