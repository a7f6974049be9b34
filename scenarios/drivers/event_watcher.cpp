// SPDX-License-Identifier: BSD-2-Clause-Patent
// EventWatcher (GUID ..0080): asks to be told of every event protocol. Reply: u64 events so far, then a byte each, in
// their order: 1 EndOfPei, 2 EndOfDxe, 3 ReadyToLock, 4 ReadyToBoot, 5 ExitBootServices; 0x80 is added when the
// interface was not null or no handle came with it.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

using namespace mm;

constexpr Guid kHandler = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00B1"_guid;
constexpr u64 kMost = 24;
u64 g_count = 0;
u8 g_events[kMost];

template <u8 N>
Status MM_EFIAPI on_event(Guid const*, void* interface, driver::Handle handle) {
  if (g_count < kMost) {
    g_events[g_count++] = static_cast<u8>(N | (interface != nullptr || handle == 0 ? 0x80 : 0));
  }
  return Status::Success;
}

Status MM_EFIAPI on_message(driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < sizeof(u64) + kMost) {
    return Status::InvalidParameter;
  }
  driver::put(buffer, 0, g_count);
  driver::put(buffer, sizeof(u64), g_events);
  *size = sizeof(u64) + g_count;
  return Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  struct Watch {
    Guid const* protocol;
    user::NotifyFn function;
  };
  Watch const watches[] = {{&guids::gEfiMmEndOfPeiProtocol, on_event<1>},
                           {&guids::gEfiMmEndOfDxeProtocolGuid, on_event<2>},
                           {&guids::gEfiMmReadyToLockProtocolGuid, on_event<3>},
                           {&guids::gEfiEventReadyToBootGuid, on_event<4>},
                           {&guids::gEfiEventExitBootServicesGuid, on_event<5>}};
  for (Watch const& watch : watches) {
    void* registration = nullptr;
    if (auto const status = mmst->register_protocol_notify(watch.protocol, watch.function, &registration);
        status != Status::Success) {
      return status;
    }
  }
  driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
