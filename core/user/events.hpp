// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <bit>

#include "core/user/services.hpp"

namespace mm::user {

/// What the BSP is doing; survives a fault and says how to go on.
enum class Phase : u8 { Idle, Message, Dispatch, Root };

/// Calls into handlers and drivers: MMIs, the events that the core handles itself, and the dispatch of drivers.
template <Ring3 R>
class Events {
 public:
  explicit Events(Services<R>& services) noexcept : services_(services) {}

  Phase phase() const noexcept { return phase_; }
  void set_phase(Phase phase) noexcept { phase_ = phase; }

  /// Registers the handlers of the core. OutOfResources.
  Status publish() noexcept {
    struct Event {
      CoreHandler handler;
      Guid type;
    };
    Event const events[] = {{CoreHandler::Dispatch, guids::gEventMmDispatchGuid},
                            {CoreHandler::EndOfPei, guids::gEfiMmEndOfPeiProtocol},
                            {CoreHandler::EndOfDxe, guids::gEfiEndOfDxeEventGroupGuid},
                            {CoreHandler::ReadyToLock, guids::gEfiDxeMmReadyToLockProtocolGuid},
                            {CoreHandler::ReadyToBoot, guids::gEfiEventReadyToBootGuid},
                            {CoreHandler::ExitBootServices, guids::gEfiEventExitBootServicesGuid}};
    Status status = Status::Success;
    for (Event const& event : events) {
      if (status == Status::Success) {
        status = services_.mmis().add_core(event.handler, event.type);
      }
    }
    return status;
  }

  /// Handlers of `type`. The context of the caller is passed on. NotFound: no handler took it, or a buffer without a
  /// size.
  Status manage(Guid const* type, void const* context, void* buffer, u64* size) noexcept {
    if (buffer != nullptr && size == nullptr) {
      return Status::NotFound;
    }
    return services_.mmis().manage(type, 0, [&](MmiHandler const& h) { return invoke(h, context, buffer, size); });
  }
  /// Root handlers after the handle `last`, which follows each that is called.
  void manage_roots(Handle& last) noexcept {
    phase_ = Phase::Root;
    services_.mmis().manage(nullptr, last, [this, &last](MmiHandler const& h) {
      if (services_.mmis().depth() == 1) {
        last = h.handle;
      }
      return invoke(h, nullptr, nullptr, nullptr);
    });
  }

  /// Starts what can be started; the dispatch event stays registered while a driver still waits.
  Status run_dispatcher() noexcept {
    Status const status = services_.dispatcher().run(
        [this](Driver const& driver) { return enter_driver(driver); },
        [this](Guid const& protocol) { return services_.protocols().is_installed(protocol); },
        [this](Driver const& driver) { services_.forget(driver.image.base); });
    if (status == Status::AlreadyStarted) {
      return status;
    }
    services_.dispatcher().for_each_waiting([this](Driver const& driver) { report_waiting(driver); });
    if (!services_.dispatcher().has_remaining()) {
      services_.mmis().remove_core(CoreHandler::Dispatch);
    }
    return status;
  }

  /// Cuts off the driver that holds `address`, which must not be called any more; else the one that was executing.
  void contain_at(u64 address) noexcept {
    Driver* const culprit = services_.dispatcher().find_image(address);
    contain(culprit != nullptr ? culprit : services_.dispatcher().find_image(services_.current_image()));
  }
  /// The calls that were under way are gone; a driver whose entry point was among them cannot be used.
  void abandon() noexcept {
    services_.dispatcher().abandon_run([this](Driver& driver) { contain(&driver); });
    services_.mmis().abandon_dispatches();
    services_.leave_image(0);
    services_.end_ap_procedure();
  }

 private:
  void contain(Driver* driver) noexcept {
    if (driver == nullptr) {
      return;
    }
    driver->state = DriverState::Contained;
    services_.forget(driver->image.base);
    services_.note(abi::UserNote::DriverContained, driver->image.base);
  }

  Status invoke(MmiHandler const& handler, void const* context, void* buffer, u64* size) noexcept {
    if (handler.core != CoreHandler::None) {
      return on_event(handler.core, buffer, size);
    }
    u64 const address = reinterpret_cast<u64>(handler.function);
    u64 const caller = services_.enter_image(handler.owner);
    services_.note(abi::UserNote::HandlerEntered, address);
    if (services_.guard().on()) {
      HeapGuard<R>::fill_stack();
    }
    Status const status = handler.function(handler.handle, context, buffer, size);
    if (services_.guard().on()) {
      services_.guard().for_each_overrun(
          [this](u64 block) { services_.note_defect(abi::DriverDefect::Overrun, block); });
    }
    services_.note(abi::UserNote::HandlerReturned, address, static_cast<u64>(status));
    services_.leave_image(caller);
    return status;
  }

  Status enter_driver(Driver const& driver) noexcept {
    u64 const base = driver.image.base;
    u64 const caller = services_.enter_image(base);
    services_.note(abi::UserNote::DriverEntered, base);
    Status const status{services_.ring3().call_driver(driver.entry, driver.handle, address_of(services_.mmst()))};
    services_.note(abi::UserNote::DriverReturned, base, static_cast<u64>(status));
    services_.leave_image(caller);
    return status;
  }

  /// OutOfResources: no memory for the protocol, so the drivers were not told; the sender sees an error.
  Status on_event(CoreHandler event, void* buffer, u64* size) noexcept {
    switch (event) {
      case CoreHandler::Dispatch:
        on_dispatch(buffer, size);
        return Status::Success;
      case CoreHandler::EndOfPei:
        return services_.install_event(guids::gEfiMmEndOfPeiProtocol);
      case CoreHandler::EndOfDxe:
        return services_.install_event(guids::gEfiMmEndOfDxeProtocolGuid);
      case CoreHandler::ReadyToLock:
        services_.mmis().remove_core(CoreHandler::ReadyToLock);
        services_.mmis().remove_core(CoreHandler::Dispatch);
        return services_.install_event(guids::gEfiMmReadyToLockProtocolGuid);
      case CoreHandler::ReadyToBoot:
        return install_once(guids::gEfiEventReadyToBootGuid);
      case CoreHandler::ExitBootServices:
        return install_once(guids::gEfiEventExitBootServicesGuid);
      case CoreHandler::None:
        break;
    }
    return Status::NotFound;
  }

  Status install_once(Guid const& protocol) noexcept {
    return services_.protocols().is_installed(protocol) ? Status::Success : services_.install_event(protocol);
  }

  /// The status goes into a payload of 8 bytes or more.
  void on_dispatch(void* buffer, u64* size) noexcept {
    Phase const outer = phase_;
    if (phase_ == Phase::Message && services_.mmis().depth() == 1) {
      phase_ = Phase::Dispatch;
    }
    Status const status = run_dispatcher();
    if (buffer != nullptr && size != nullptr && *size >= sizeof(u64)) {
      store(address_of(buffer), static_cast<u64>(status));
    }
    phase_ = outer;
  }

  void report_waiting(Driver const& driver) noexcept {
    constexpr u32 kMostNeeds = 16;
    services_.note(abi::UserNote::DriverWaiting, driver.image.base);
    u32 told = 0;
    Dispatcher<R>::for_each_need(
        driver, [this](Guid const& protocol) { return services_.protocols().is_installed(protocol); },
        [&](Guid const& guid) {
          auto const words = std::bit_cast<std::array<u64, 2>>(guid);
          if (told++ < kMostNeeds) {
            services_.note(abi::UserNote::DriverNeeds, words[0], words[1]);
          }
        });
  }

  Services<R>& services_;
  Phase phase_ = Phase::Idle;
};

}  // namespace mm::user
