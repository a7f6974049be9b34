// SPDX-License-Identifier: BSD-2-Clause-Patent
// StatusCodeRouter: passes each reported status code on to every callback that was registered, in their order.

#include "scenarios/drivers/status_code/status_code.hpp"

namespace {

using namespace mm;
using namespace mm::status_code;

constexpr u64 kMostCallbacks = 8;
Callback g_callbacks[kMostCallbacks];
u64 g_count = 0;
bool g_reporting = false;

u64 index_of(Callback callback) noexcept {
  u64 i = 0;
  while (i < g_count && g_callbacks[i] != callback) {
    ++i;
  }
  return i;
}

Status MM_EFIAPI register_callback(Callback callback) {
  if (callback == nullptr) {
    return Status::InvalidParameter;
  }
  if (index_of(callback) != g_count) {
    return Status::AlreadyStarted;
  }
  if (g_count == kMostCallbacks) {
    return Status::OutOfResources;
  }
  g_callbacks[g_count++] = callback;
  return Status::Success;
}

Status MM_EFIAPI unregister_callback(Callback callback) {
  if (callback == nullptr) {
    return Status::InvalidParameter;
  }
  u64 const found = index_of(callback);
  if (found == g_count) {
    return Status::NotFound;
  }
  --g_count;
  for (u64 i = found; i < g_count; ++i) {
    g_callbacks[i] = g_callbacks[i + 1];
  }
  return Status::Success;
}

Status MM_EFIAPI report(StatusCodeProtocol const*, u32 type, u32 value, u32 instance, Guid const* caller,
                        void const* data) {
  if (g_reporting) {
    return Status::DeviceError;
  }
  g_reporting = true;
  for (u64 i = 0; i < g_count; ++i) {
    g_callbacks[i](type, value, instance, caller, data);
  }
  g_reporting = false;
  return Status::Success;
}

RscHandlerProtocol g_rsc{register_callback, unregister_callback};
StatusCodeProtocol g_status_code{report};

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  driver::Handle handle = 0;
  Status const status = mmst->install_protocol(&handle, &kRscHandlerProtocol, 0, &g_rsc);
  return status == Status::Success ? mmst->install_protocol(&handle, &kStatusCodeProtocol, 0, &g_status_code) : status;
}
