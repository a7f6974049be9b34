// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/user/user_core.hpp"

namespace mm::user {

/// The plain functions behind an MMST and the entry of the image. `Site::start()` makes the one core of the image,
/// `Site::core()` returns it, null before.
///
/// The services are for the BSP alone: they take no lock, as in edk2, where an AP procedure that calls one corrupts the
/// lists. Here it gets AccessDenied and changes nothing. MmIo is exempt, it has no state.
template <typename Site>
struct MmstThunks {
  /// user_core_main: RCX, RDX, R8 of a demotion; the result goes back in RAX. InvalidParameter: unknown command.
  static Status command(u64 code, u64 a, u64 b) noexcept {
    auto const which = static_cast<abi::UserCommand>(code);
    if (which == abi::UserCommand::StartUserCore) {
      return Site::start().start(a, table(), Site::protocols());
    }
    auto* const core = Site::core();
    switch (which) {
      case abi::UserCommand::UserRequest:
        return core != nullptr ? core->request(a, b) : Status::NotReady;
      case abi::UserCommand::UserApProcedure:
        return core != nullptr ? core->ap_procedure(a, b) : Status::NotReady;
      case abi::UserCommand::UserFault:
        return core != nullptr ? core->fault(a) : Status::NotReady;
      case abi::UserCommand::StartUserCore:
        break;
    }
    return Status::InvalidParameter;
  }

  /// An MMST with every function in place and nothing else.
  static MmSystemTable table() noexcept {
    MmSystemTable t;
    t.firmware_vendor = u"MM Supervisor";
    t.firmware_revision = 0x00010000;
    t.install_configuration_table = install_configuration_table;
    t.mem_read = t.mem_write = t.io_read = t.io_write = no_io;
    t.allocate_pool = allocate_pool;
    t.free_pool = free_pool;
    t.allocate_pages = allocate_pages;
    t.free_pages = free_pages;
    t.startup_this_ap = startup_this_ap;
    t.install_protocol = install_protocol;
    t.uninstall_protocol = uninstall_protocol;
    t.handle_protocol = handle_protocol;
    t.register_protocol_notify = register_protocol_notify;
    t.locate_handle = locate_handle;
    t.locate_protocol = locate_protocol;
    t.mmi_manage = mmi_manage;
    t.mmi_handler_register = mmi_handler_register;
    t.mmi_handler_unregister = mmi_handler_unregister;
    return t;
  }

  static Status MM_EFIAPI read_save_state(MmCpuProtocol const* self, u64 width, u32 id, u64 cpu,
                                          void* buffer) noexcept {
    return on_bsp([&](auto& services) { return services.read_save_state(self, width, id, cpu, buffer); });
  }
  static Status MM_EFIAPI write_save_state(MmCpuProtocol const*, u64, u32, u64, void*) noexcept {
    return Status::Unsupported;
  }
  /// Nothing to enable: what a fault does is the supervisor's fault policy.
  static Status MM_EFIAPI enable_test_mode() noexcept { return Status::Success; }

  static CoreProtocols core_protocols() noexcept { return {{read_save_state, write_save_state}, {enable_test_mode}}; }

 private:
  /// A driver has the MMST only after start(), so there is a core.
  template <typename F>
  static Status on_bsp(F&& service) noexcept {
    auto& services = Site::core()->services();
    return services.on_ap() ? Status::AccessDenied : service(services);
  }

  static Status MM_EFIAPI install_configuration_table(MmSystemTable const*, Guid const* guid, void* what,
                                                      u64) noexcept {
    return on_bsp([&](auto& services) { return services.install_configuration_table(guid, what); });
  }
  /// MmIo, until a CPU I/O driver puts its own functions here (C and edk2 answer the same).
  static Status MM_EFIAPI no_io(void const*, u64, u64, u64, void*) noexcept { return Status::NotAvailableYet; }
  static Status MM_EFIAPI allocate_pool(u32 type, u64 size, void** buffer) noexcept {
    return on_bsp([&](auto& services) { return services.allocate_pool(type, size, buffer); });
  }
  static Status MM_EFIAPI free_pool(void* buffer) noexcept {
    return on_bsp([&](auto& services) { return services.free_pool(buffer); });
  }
  static Status MM_EFIAPI allocate_pages(u32 type, u32 memory_type, u64 pages, u64* memory) noexcept {
    return on_bsp([&](auto& services) { return services.allocate_pages(type, memory_type, pages, memory); });
  }
  static Status MM_EFIAPI free_pages(u64 memory, u64 pages) noexcept {
    return on_bsp([&](auto& services) { return services.free_pages(memory, pages); });
  }
  static Status MM_EFIAPI startup_this_ap(ApProcedureFn procedure, u64 cpu, void* argument) noexcept {
    return on_bsp([&](auto& services) {
      return services.startup_this_ap(reinterpret_cast<u64>(procedure), cpu, address_of(argument));
    });
  }
  static Status MM_EFIAPI install_protocol(Handle* handle, Guid const* protocol, u32 type, void* interface) noexcept {
    return on_bsp([&](auto& services) { return services.install_protocol(handle, protocol, type, interface); });
  }
  static Status MM_EFIAPI uninstall_protocol(Handle handle, Guid const* protocol, void* interface) noexcept {
    return on_bsp([&](auto& services) { return services.uninstall_protocol(handle, protocol, interface); });
  }
  static Status MM_EFIAPI handle_protocol(Handle handle, Guid const* protocol, void** interface) noexcept {
    return on_bsp([&](auto& services) { return services.handle_protocol(handle, protocol, interface); });
  }
  static Status MM_EFIAPI register_protocol_notify(Guid const* protocol, NotifyFn function, void** token) noexcept {
    return on_bsp([&](auto& services) { return services.register_protocol_notify(protocol, function, token); });
  }
  static Status MM_EFIAPI locate_handle(u32 search, Guid const* protocol, void* key, u64* size,
                                        Handle* buffer) noexcept {
    return on_bsp([&](auto& services) { return services.locate_handle(search, protocol, key, size, buffer); });
  }
  static Status MM_EFIAPI locate_protocol(Guid const* protocol, void* registration, void** interface) noexcept {
    return on_bsp([&](auto& services) { return services.locate_protocol(protocol, registration, interface); });
  }
  static Status MM_EFIAPI mmi_manage(Guid const* type, void const* context, void* buffer, u64* size) noexcept {
    return on_bsp([&](auto&) { return Site::core()->events().manage(type, context, buffer, size); });
  }
  static Status MM_EFIAPI mmi_handler_register(MmiHandlerFn function, Guid const* type, Handle* dispatch) noexcept {
    return on_bsp([&](auto& services) { return services.mmi_handler_register(function, type, dispatch); });
  }
  static Status MM_EFIAPI mmi_handler_unregister(Handle dispatch) noexcept {
    return on_bsp([&](auto& services) { return services.mmi_handler_unregister(dispatch); });
  }
};

}  // namespace mm::user
