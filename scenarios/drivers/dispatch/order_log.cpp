// SPDX-License-Identifier: BSD-2-Clause-Patent
// OrderLog (GUID ..0070): first in a volume of markers. Reply: u64 number of markers started, then their numbers.

#include "scenarios/drivers/dispatch/order.hpp"

namespace {

using namespace mm;

constexpr Guid kHandler = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00B0"_guid;
order::Log g_log;

Status MM_EFIAPI on_message(driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < sizeof(g_log)) {
    return Status::InvalidParameter;
  }
  driver::put(buffer, 0, g_log);
  *size = sizeof(u64) + g_log.count;
  return Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  driver::Handle handle = 0;
  driver::Handle dispatch = 0;
  Status const status = mmst->install_protocol(&handle, &order::kLogProtocol, 0, &g_log);
  return status == Status::Success ? mmst->mmi_handler_register(on_message, &kHandler, &dispatch) : status;
}
