// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <atomic>
#include <bit>

#include "core/user/dispatcher.hpp"
#include "core/user/heap_guard.hpp"
#include "core/user/loaded_image.hpp"
#include "core/user/mmi_database.hpp"
#include "core/user/mmst.hpp"
#include "core/user/page_ledger.hpp"
#include "core/user/pool.hpp"
#include "core/user/protocol_database.hpp"

namespace mm::user {

/// What the functions of the MMST do (core/user/RING3.md 1), with all that they keep: memory,
/// protocols, handlers, configuration tables, and which image is executing. Every registration records the image that
/// owns it, so that forget() can cut one driver off without the others. For the BSP alone, but for on_ap().
template <Ring3 R>
class Services {
 public:
  explicit Services(R& ring3) noexcept
      : ring3_(ring3),
        pool_(ring3),
        pages_(pool_),
        guard_(pool_),
        protocols_(pool_),
        mmis_(pool_),
        dispatcher_(pool_),
        tables_(pool_),
        images_(pool_) {}

  /// Gives out the table that drivers are handed. OutOfResources.
  Status make_table(MmSystemTable const& services, u64 cpus) noexcept {
    auto const memory = pool_.allocate(sizeof(MmSystemTable));
    if (!memory.has_value()) {
      return Status::OutOfResources;
    }
    mmst_ = static_cast<MmSystemTable*>(*memory);
    *mmst_ = services;
    mmst_->number_of_cpus = cpus;
    return Status::Success;
  }
  void drop_table() noexcept { mmst_ = nullptr; }

  Status allocate_pool(u32 type, u64 size, void** buffer) noexcept {
    if (buffer == nullptr || (type != kRuntimeServicesCode && type != kRuntimeServicesData)) {
      return Status::InvalidParameter;
    }
    auto const memory = guard_.on() ? guard_.allocate(size) : pool_.allocate(size, current_image_);
    if (!memory.has_value()) {
      return memory.error();
    }
    *buffer = *memory;
    return Status::Success;
  }
  Status free_pool(void* buffer) noexcept {
    if (guard_.on()) {
      auto const done = guard_.free(buffer);
      note_defect(done.defect, address_of(buffer));
      return done.status;
    }
    auto const freed = pool_.free(buffer);
    return freed.has_value() ? Status::Success : freed.error();
  }
  Status allocate_pages(u32 type, u32 memory_type, u64 pages, u64* memory) noexcept {
    Status const status = pages_.allocate(type, memory_type, pages, memory, current_image_);
    if (guard_.on() && status == Status::Success) {
      guard_.add_pages(*memory, pages);
    }
    return status;
  }
  Status free_pages(u64 memory, u64 pages) noexcept {
    Status const status = pages_.free(memory, pages);
    if (guard_.on() && status != Status::OutOfResources) {
      note_defect(guard_.free_pages(memory, pages, status == Status::Success), memory);
    }
    return status;
  }

  /// InvalidParameter: null GUID; NotFound: nothing to delete; OutOfResources.
  Status install_configuration_table(Guid const* guid, void* table) noexcept {
    if (guid == nullptr) {
      return Status::InvalidParameter;
    }
    u64 index = 0;
    while (index < tables_.size() && tables_[index].guid != *guid) {
      ++index;
    }
    if (index == tables_.size()) {
      if (table == nullptr) {
        return Status::NotFound;
      }
      if (!tables_.push_back({*guid, table}).has_value()) {
        return Status::OutOfResources;
      }
    } else if (table != nullptr) {
      tables_[index].table = table;
    } else {
      tables_.erase(index);
    }
    mmst_->configuration_table = tables_.data();
    mmst_->number_of_table_entries = tables_.size();
    return Status::Success;
  }

  /// InvalidParameter: null procedure, unknown CPU or the calling one. What ring 0 refuses beyond that is its own
  /// matter. Returns when the procedure has ended (core/ARCHITECTURE.md 4).
  Status startup_this_ap(u64 procedure, u64 cpu, u64 argument) noexcept {
    if (procedure == 0 || cpu >= mmst_->number_of_cpus || cpu == mmst_->currently_executing_cpu) {
      return Status::InvalidParameter;
    }
    ap_procedure_runs_.store(true, std::memory_order_release);
    Status const status{call(ring3_, abi::Syscall::StartApProc, procedure, cpu, argument)};
    ap_procedure_runs_.store(false, std::memory_order_release);
    return is_error(status) ? status : Status::Success;
  }

  Status install_protocol(Handle* handle, Guid const* protocol, u32 type, void* interface) noexcept {
    return install_for(current_image_, handle, protocol, type, interface);
  }
  Status uninstall_protocol(Handle handle, Guid const* protocol, void* interface) noexcept {
    if (protocol != nullptr) {
      dispatcher_.protocol_changed(*protocol);
    }
    return protocols_.uninstall(handle, protocol, interface);
  }
  Status handle_protocol(Handle handle, Guid const* protocol, void** interface) noexcept {
    return protocols_.handle_protocol(handle, protocol, interface);
  }
  Status register_protocol_notify(Guid const* protocol, NotifyFn function, void** registration) noexcept {
    return protocols_.register_notify(protocol, function, registration, owner_of(reinterpret_cast<u64>(function)));
  }
  Status locate_handle(u32 search, Guid const* protocol, void* key, u64* size, Handle* buffer) noexcept {
    return protocols_.locate_handle(search, protocol, key, size, buffer);
  }
  Status locate_protocol(Guid const* protocol, void* registration, void** interface) noexcept {
    return protocols_.locate_protocol(protocol, registration, interface);
  }

  Status mmi_handler_register(MmiHandlerFn function, Guid const* type, Handle* dispatch) noexcept {
    u64 const owner = owner_of(reinterpret_cast<u64>(function));
    Status const status = mmis_.add(function, type, dispatch, owner);
    if (status == Status::Success) {
      auto const words = std::bit_cast<std::array<u64, 2>>(type != nullptr ? *type : Guid{});
      note(abi::UserNote::HandlerRegistered, words[0], words[1]);
      note(abi::UserNote::HandlerAt, reinterpret_cast<u64>(function), owner);
    }
    return status;
  }
  Status mmi_handler_unregister(Handle dispatch) noexcept { return mmis_.remove(dispatch); }

  /// EFI_MM_CPU_PROTOCOL.ReadSaveState by the two phases of core/abi/ABI.md 9. InvalidParameter: null pointer or
  /// unknown CPU; NotFound: no such register; else what ring 0 answers.
  Status read_save_state(void const* self, u64 width, u32 register_id, u64 cpu, void* buffer) noexcept {
    constexpr u32 kLastRegister = 514;
    if (self == nullptr || buffer == nullptr || mmst_ == nullptr || cpu >= mmst_->number_of_cpus) {
      return Status::InvalidParameter;
    }
    if (register_id > kLastRegister) {
      return Status::NotFound;
    }
    u64 const protocol = address_of(self);
    Status const first{call(ring3_, abi::Syscall::SaveStateRead, protocol, register_id, cpu)};
    return is_error(first) ? first
                           : Status{call(ring3_, abi::Syscall::SaveStateRead2, protocol, width, address_of(buffer))};
  }

  /// Whether the caller of a service is an AP: the BSP waits in START_AP_PROC for as long as a procedure runs, so
  /// nobody else can call meanwhile.
  bool on_ap() const noexcept { return ap_procedure_runs_.load(std::memory_order_acquire); }

  /// The AP procedure is over, or gone with what was under way.
  void end_ap_procedure() noexcept { ap_procedure_runs_.store(false, std::memory_order_release); }

  // --- For the core itself ---

  Status install_event(Guid const& protocol, void* interface = nullptr) noexcept {
    Handle handle = 0;
    return install_protocol(&handle, &protocol, 0, interface);
  }

  /// Gives each image its handle, before any driver is entered: a dependency on the protocol holds from the start. It
  /// goes with what the image registered when the driver fails or is cut off.
  Status publish_images() noexcept {
    if (!images_.reserve(dispatcher_.count()).has_value()) {
      return Status::OutOfResources;
    }
    Status status = Status::Success;
    dispatcher_.for_each_driver([&](Driver& driver) {
      static_cast<void>(images_.push_back(loaded_image_of(driver)));
      if (status == Status::Success) {
        status = install_for(driver.image.base, &driver.handle, &guids::gEfiLoadedImageProtocolGuid, 0,
                             &images_[images_.size() - 1]);
      }
    });
    return status;
  }

  /// Registrations of an image that must not be called any more. Its memory stays: others may hold pointers into it.
  void forget(u64 image) noexcept {
    mmis_.remove_owner(image);
    protocols_.remove_owner(image, [this](Guid const& protocol) { dispatcher_.protocol_changed(protocol); });
  }

  /// An image is entered: it is the one that executes, until leave_image() with what this returns.
  u64 enter_image(u64 image) noexcept {
    u64 const caller = current_image_;
    current_image_ = image;
    return caller;
  }
  void leave_image(u64 caller) noexcept { current_image_ = caller; }

  /// Asked once whether anybody listens: a system call for nothing is dear.
  void note(abi::UserNote kind, u64 a, u64 b = 0) noexcept { listened_ = listened_ && user::note(ring3_, kind, a, b); }

  /// What the heap guard saw; nothing: nothing.
  void note_defect(std::optional<abi::DriverDefect> defect, u64 where) noexcept {
    if (defect) {
      note(abi::UserNote::DriverDefect, static_cast<u64>(*defect), where);
    }
  }

  R& ring3() noexcept { return ring3_; }
  HeapGuard<R>& guard() noexcept { return guard_; }
  MmSystemTable* mmst() noexcept { return mmst_; }
  Pool<R>& pool() noexcept { return pool_; }
  MmiDatabase<R>& mmis() noexcept { return mmis_; }
  ProtocolDatabase<R>& protocols() noexcept { return protocols_; }
  Dispatcher<R>& dispatcher() noexcept { return dispatcher_; }
  u64 current_image() const noexcept { return current_image_; }

 private:
  u64 owner_of(u64 function) noexcept {
    Driver const* const driver = dispatcher_.find_image(function);
    return driver != nullptr ? driver->image.base : current_image_;
  }

  Status install_for(u64 owner, Handle* handle, Guid const* protocol, u32 type, void* interface) noexcept {
    if (protocol != nullptr) {
      dispatcher_.protocol_changed(*protocol);
    }
    return protocols_.install(handle, protocol, type, interface, owner,
                              [this](NotifyFn function, u64 image, Guid const* guid, void* what, Handle on) {
                                u64 const caller = enter_image(image);
                                function(guid, what, on);
                                leave_image(caller);
                              });
  }
  R& ring3_;
  Pool<R> pool_;
  PageLedger<R> pages_;
  HeapGuard<R> guard_;
  ProtocolDatabase<R> protocols_;
  MmiDatabase<R> mmis_;
  Dispatcher<R> dispatcher_;
  PoolVector<ConfigurationTable, R> tables_;
  PoolVector<LoadedImageProtocol, R> images_;  ///< one a driver; drivers hold pointers to them, so they never move
  MmSystemTable* mmst_ = nullptr;
  std::atomic<bool> ap_procedure_runs_{false};
  u64 current_image_ = 0;  ///< base of the driver that is executing on the BSP, 0: the core
  bool listened_ = true;   ///< to trace notes
};

}  // namespace mm::user
