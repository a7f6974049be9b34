// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "scenarios/drivers/sdk/mm_driver.hpp"

/// Status codes by protocol between three drivers (PI 1.8 vol. 3, 6; vol. 4): Reporter -> Router -> Memory.
namespace mm::status_code {

/// EFI_MM_RSC_HANDLER_CALLBACK: type, value, instance, caller (may be null), data (may be null).
using Callback = Status(MM_EFIAPI*)(u32 type, u32 value, u32 instance, Guid const* caller, void const* data);

/// EFI_MM_RSC_HANDLER_PROTOCOL. Register: InvalidParameter null, AlreadyStarted, OutOfResources. Unregister:
/// InvalidParameter null, NotFound.
struct RscHandlerProtocol {
  Status(MM_EFIAPI* register_callback)(Callback);
  Status(MM_EFIAPI* unregister_callback)(Callback);
};
inline constexpr Guid kRscHandlerProtocol = "2FF29FA7-5E80-4ED9-B380-017D3C554FF4"_guid;

/// EFI_MM_STATUS_CODE_PROTOCOL. DeviceError: called from inside a callback.
struct StatusCodeProtocol {
  Status(MM_EFIAPI* report_status_code)(StatusCodeProtocol const*, u32 type, u32 value, u32 instance,
                                        Guid const* caller, void const* data);
};
inline constexpr Guid kStatusCodeProtocol = "6AFD2B77-98C1-4ACD-A6F9-8A9439DE0FB1"_guid;

}  // namespace mm::status_code
