// SPDX-License-Identifier: BSD-2-Clause-Patent
// DepexA installs a protocol; DepexB depends on it (by its depex) and answers GUID ..00D0 with the u64 that the
// protocol points to; Waiting depends on a protocol that nobody installs and must never run. DepexBefore and DepexAfter
// are DepexB, bound to DepexA by BEFORE and AFTER: the first finds no protocol and fails.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

[[maybe_unused]] constexpr mm::Guid kProtocol = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4EA001", 36);
[[maybe_unused]] constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00D0", 36);
[[maybe_unused]] mm::u64 g_value = 0xA11CE;
[[maybe_unused]] mm::u64 const* g_found = nullptr;

[[maybe_unused]] mm::Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void* buffer, mm::u64* size) {
  if (buffer == nullptr || size == nullptr || *size < sizeof(mm::u64)) {
    return mm::Status::InvalidParameter;
  }
  mm::driver::put(buffer, 0, *g_found);
  *size = sizeof(mm::u64);
  return mm::Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  mm::driver::Handle handle = 0;
  if constexpr (MM_DEPEX_ROLE == 0) {
    return mmst->install_protocol(&handle, &kProtocol, 0, &g_value);
  } else {
    void* interface = nullptr;
    auto const status = mmst->locate_protocol(&kProtocol, nullptr, &interface);
    if (status != mm::Status::Success) {
      return status;
    }
    g_found = static_cast<mm::u64 const*>(interface);
    return mmst->mmi_handler_register(on_message, &kHandler, &handle);
  }
}
