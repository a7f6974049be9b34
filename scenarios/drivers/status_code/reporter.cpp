// SPDX-License-Identifier: BSD-2-Clause-Patent
// StatusCodeReporter (GUID ..0062): reports the status code of the message, u32 type, u32 value, u32 instance. Reply:
// u64 status of ReportStatusCode.

#include "scenarios/drivers/status_code/status_code.hpp"

namespace {

using namespace mm;
using namespace mm::status_code;

constexpr Guid kHandler = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0062"_guid;
StatusCodeProtocol const* g_status_code = nullptr;

Status MM_EFIAPI on_message(driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < 12) {
    return Status::InvalidParameter;
  }
  auto const status =
      g_status_code->report_status_code(g_status_code, driver::get<u32>(buffer, 0), driver::get<u32>(buffer, 4),
                                        driver::get<u32>(buffer, 8), &kHandler, nullptr);
  driver::put(buffer, 0, static_cast<u64>(status));
  *size = sizeof(u64);
  return Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  void* found = nullptr;
  Status const status = mmst->locate_protocol(&kStatusCodeProtocol, nullptr, &found);
  g_status_code = static_cast<StatusCodeProtocol const*>(found);
  driver::Handle dispatch = 0;
  return status == Status::Success ? mmst->mmi_handler_register(on_message, &kHandler, &dispatch) : status;
}
