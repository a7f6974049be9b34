// SPDX-License-Identifier: BSD-2-Clause-Patent
// PlatformDispatch: the dispatch protocols that platform drivers wait for. Software MMIs come by port 0xB2; what q35
// raises no MMI for - sleep, time, buttons - the normal world tells by a message (README.md).

#include "scenarios/drivers/platform/dispatch.hpp"

namespace platform_driver {

MmSystemTable* g_mmst = nullptr;

namespace {

u32 tell(EventMessage const& message) noexcept {
  switch (static_cast<Event>(message.event)) {
    case Event::Sleep:
      return on_sleep(message.first, message.second);
    case Event::Time:
      return on_time(message.first);
    case Event::PowerButton:
      return on_power_button(message.first);
    case Event::StandbyButton:
      return on_standby_button(message.first);
  }
  return 0;
}

Status MM_EFIAPI on_event(Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < sizeof(EventMessage)) {
    return Status::InvalidParameter;
  }
  auto message = mm::driver::get<EventMessage>(buffer);
  if (message.event < static_cast<u32>(Event::Sleep) || message.event > static_cast<u32>(Event::StandbyButton)) {
    return Status::Unsupported;
  }
  message.called = tell(message);
  mm::driver::put(buffer, 0, message);
  *size = sizeof message;
  return Status::Success;
}

}  // namespace
}  // namespace platform_driver

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  using namespace platform_driver;
  g_mmst = mmst;
  for (auto* const part : {install_sw_dispatch, install_sx_dispatch, install_timer_dispatch, install_button_dispatch}) {
    if (Status const status = part(); status != Status::Success) {
      return status;
    }
  }
  Handle dispatch = 0;
  return mmst->mmi_handler_register(on_event, &kPlatformEvent, &dispatch);
}
