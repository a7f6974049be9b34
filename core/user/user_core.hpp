// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <atomic>
#include <bit>

#include "core/abi/comm.hpp"
#include "core/user/dispatcher.hpp"
#include "core/user/loaded_image.hpp"
#include "core/user/mmi_database.hpp"
#include "core/user/mmst.hpp"
#include "core/user/page_ledger.hpp"
#include "core/user/pool.hpp"
#include "core/user/protocol_database.hpp"

namespace mm::user {

/// The ring-3 core: hosts the MM drivers and serves the commands of the supervisor (abi::UserCommand). One object a
/// machine; the functions of the MMST find it through MmstThunks, which lets only the BSP in. Every registration
/// records the image that owns it, so that one faulty driver can be cut off without the others.
template <Ring3 R>
class UserCore {
 public:
  explicit UserCore(R& ring3) noexcept
      : ring3_(ring3),
        pool_(ring3),
        pages_(pool_),
        protocols_(pool_),
        mmis_(pool_),
        dispatcher_(pool_),
        tables_(pool_),
        images_(pool_) {}
  UserCore(UserCore const&) = delete;
  UserCore& operator=(UserCore const&) = delete;

  /// StartUserCore. `services` is an MMST with every function set; `protocols` must outlive the core.
  /// AlreadyStarted; InvalidParameter: no HOB list; OutOfResources.
  Status start(u64 hob_list, MmSystemTable const& services, CoreProtocols* protocols) noexcept {
    if (mmst_ != nullptr) {
      return Status::AlreadyStarted;
    }
    if (hob_list == 0) {
      return Status::InvalidParameter;
    }
    find_comm_buffer(hob_list);
    if (!dispatcher_.discover(hob_list).has_value()) {
      return Status::OutOfResources;
    }
    auto const memory = pool_.allocate(sizeof(MmSystemTable));
    if (!memory.has_value()) {
      return Status::OutOfResources;
    }
    auto* const table = static_cast<MmSystemTable*>(*memory);
    *table = services;
    table->number_of_cpus = count_cpus(hob_list);
    mmst_ = table;
    Status const status = publish(hob_list, *protocols);
    if (status != Status::Success) {
      mmst_ = nullptr;
    }
    return status;
  }

  /// UserRequest: `page` holds an MmEntryContext and, `context_bytes` further on, the CommBufferStatus that is updated
  /// and the word at abi::kUserRootsOffset.
  /// InvalidParameter: no page or an impossible context size; NotReady: not started.
  Status request(u64 page, u64 context_bytes) noexcept {
    if (page == 0 || context_bytes < sizeof(abi::MmEntryContext) ||
        context_bytes > kPageSize - sizeof(abi::CommBufferStatus) - sizeof(u64)) {
      return Status::InvalidParameter;
    }
    if (mmst_ == nullptr) {
      return Status::NotReady;
    }
    auto const context = load<abi::MmEntryContext>(page);
    mmst_->currently_executing_cpu = context.currently_executing_cpu;
    mmst_->number_of_cpus = context.number_of_cpus;
    if (phase_ != Phase::Idle) {
      abandon();  // a driver ended the last request itself, through the call gate
      cleared_to_ = comm_.size;
    }
    request_ = Request{};
    request_.mailbox = page + context_bytes;
    request_.status = load<abi::CommBufferStatus>(request_.mailbox);
    if (comm_.size != 0 && request_.status.is_comm_buffer_valid != 0) {
      phase_ = Phase::Message;
      serve_message();
    }
    return finish_request();
  }

  /// UserApProcedure, on an AP: calls the procedure. InvalidParameter: null procedure.
  Status ap_procedure(u64 procedure, u64 argument) noexcept {
    if (procedure == 0) {
      return Status::InvalidParameter;
    }
    at<void MM_EFIAPI(void*)>(procedure)(at<void>(argument));
    return Status::Success;
  }

  /// UserFault: everything that was running in ring 3 on this CPU is gone. Cuts off the driver that holds the faulting
  /// instruction (else the one that was executing) and the one whose entry point cannot return any more, then completes
  /// what was under way: a dispatch goes on with the remaining drivers, a message is answered Aborted.
  Status fault(u64 page) noexcept {
    if (page == 0) {
      return Status::InvalidParameter;
    }
    if (mmst_ == nullptr) {
      return Status::NotReady;
    }
    auto const record = load<abi::UserFaultRecord>(page + abi::kUserFaultOffset);
    Driver* const culprit = dispatcher_.find_image(record.rip);
    contain(culprit != nullptr ? culprit : dispatcher_.find_image(current_image_));
    ap_procedure_runs_.store(false, std::memory_order_release);  // START_AP_PROC may be what did not come back
    abandon();
    return resume();
  }

  // --- Services of the MMST: user-core-and-communication.md 1.3 to 1.5 ---

  Status allocate_pool(u32 type, u64 size, void** buffer) noexcept {
    if (buffer == nullptr || (type != kRuntimeServicesCode && type != kRuntimeServicesData)) {
      return Status::InvalidParameter;
    }
    auto const memory = pool_.allocate(size, current_image_);
    if (!memory.has_value()) {
      return memory.error();
    }
    *buffer = *memory;
    return Status::Success;
  }
  Status free_pool(void* buffer) noexcept {
    auto const freed = pool_.free(buffer);
    return freed.has_value() ? Status::Success : freed.error();
  }
  Status allocate_pages(u32 type, u32 memory_type, u64 pages, u64* memory) noexcept {
    return pages_.allocate(type, memory_type, pages, memory, current_image_);
  }
  Status free_pages(u64 memory, u64 pages) noexcept { return pages_.free(memory, pages); }

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
  /// matter. Returns when the procedure has ended (supervisor.md 3.6).
  Status startup_this_ap(u64 procedure, u64 cpu, u64 argument) noexcept {
    if (procedure == 0 || cpu >= mmst_->number_of_cpus || cpu == mmst_->currently_executing_cpu) {
      return Status::InvalidParameter;
    }
    ap_procedure_runs_.store(true, std::memory_order_release);
    Status const status{call(ring3_, abi::Syscall::StartApProc, procedure, cpu, argument)};
    ap_procedure_runs_.store(false, std::memory_order_release);
    return is_error(status) ? status : Status::Success;
  }

  /// Whether the caller of a service is an AP: the BSP waits in START_AP_PROC for as long as a procedure runs, so
  /// nobody else can call meanwhile.
  bool on_ap() const noexcept { return ap_procedure_runs_.load(std::memory_order_acquire); }

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

  /// The context of the caller is passed on. NotFound: no handler took it, or a buffer without a size.
  Status mmi_manage(Guid const* type, void const* context, void* buffer, u64* size) noexcept {
    if (buffer != nullptr && size == nullptr) {
      return Status::NotFound;
    }
    return mmis_.manage(type, 0, [&](MmiHandler const& h) { return invoke(h, context, buffer, size); });
  }
  Status mmi_handler_register(MmiHandlerFn function, Guid const* type, Handle* dispatch) noexcept {
    return mmis_.add(function, type, dispatch, owner_of(reinterpret_cast<u64>(function)));
  }
  Status mmi_handler_unregister(Handle dispatch) noexcept { return mmis_.remove(dispatch); }

  /// EFI_MM_CPU_PROTOCOL.ReadSaveState by the two phases of 5.4. InvalidParameter: null pointer or unknown CPU;
  /// NotFound: no such register; else what ring 0 answers.
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

  MmSystemTable* mmst() noexcept { return mmst_; }
  Dispatcher<R> const& drivers() const noexcept { return dispatcher_; }
  Pool<R>& pool() noexcept { return pool_; }
  u64 current_image() const noexcept { return current_image_; }

 private:
  /// What the BSP is doing; survives a fault and says how to go on.
  enum class Phase : u8 { Idle, Message, Dispatch, Root };

  struct Request {
    u64 mailbox = 0;
    abi::CommBufferStatus status;
    u64 header_bytes = 0;
    u64 data_bytes = 0;    ///< in: message; out: what the handler made of it
    Handle last_root = 0;  ///< root handlers up to here were called
  };

  // --- Start ---

  void find_comm_buffer(u64 hob_list) noexcept {
    for_each_hob(hob_list, [this](u64 hob, abi::HobHeader const&) {
      if (comm_.size == 0 && is_guid_hob(hob, guids::gMmCommBufferHobGuid, sizeof(abi::MmCommBuffer))) {
        auto const buffer = load<abi::MmCommBuffer>(hob + sizeof(abi::HobGuid));
        if (buffer.physical_start != 0 && buffer.number_of_pages <= UINT64_MAX / kPageSize) {
          comm_ = Range{buffer.physical_start, buffer.number_of_pages * kPageSize};
        }
      }
    });
    cleared_to_ = comm_.size;
  }

  static u64 count_cpus(u64 hob_list) noexcept {
    u64 cpus = 1;
    for_each_hob(hob_list, [&cpus](u64 hob, abi::HobHeader const&) {
      if (is_guid_hob(hob, guids::gMpInformationHobGuid, sizeof(abi::MpInformationHeader))) {
        cpus = load<abi::MpInformationHeader>(hob + sizeof(abi::HobGuid)).number_of_processors;
      }
    });
    return cpus;
  }

  Status publish(u64 hob_list, CoreProtocols& protocols) noexcept {
    Status status = install_configuration_table(&guids::gEfiHobListGuid, at<void>(hob_list));
    if (status == Status::Success) {
      status = install_event(guids::gEfiMmCpuProtocolGuid, &protocols.cpu);
    }
    if (status == Status::Success) {
      status = install_event(guids::gSmmExceptionTestProtocolGuid, &protocols.exception_test);
    }
    if (status == Status::Success) {
      status = install_event(guids::gMmRing3HandlerReadyProtocol);
    }
    if (status == Status::Success) {
      status = publish_images();
    }
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
    for (Event const& event : events) {
      if (status == Status::Success) {
        status = mmis_.add_core(event.handler, event.type);
      }
    }
    return status;
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
  Status install_event(Guid const& protocol, void* interface = nullptr) noexcept {
    Handle handle = 0;
    return install_protocol(&handle, &protocol, 0, interface);
  }

  // --- Messages ---

  struct Message {
    Guid type;
    u64 header_bytes = 0;
    u64 data_bytes = 0;
  };

  /// Reads the header of the internal copy. BadBufferSize: a length that does not fit the buffer or the header.
  Expected<Message> parse() const noexcept {
    if (comm_.size < sizeof(abi::CommunicateHeaderV3)) {
      return std::unexpected(Status::BadBufferSize);
    }
    auto const v1 = load<abi::CommunicateHeader>(comm_.base);
    if (v1.header_guid != guids::gEfiMmCommunicateHeaderV3Guid) {
      if (v1.message_length > comm_.size - sizeof(v1)) {
        return std::unexpected(Status::BadBufferSize);
      }
      return Message{v1.header_guid, sizeof(v1), v1.message_length};
    }
    auto const v3 = load<abi::CommunicateHeaderV3>(comm_.base);
    if (v3.buffer_size < sizeof(v3) || v3.buffer_size > comm_.size) {
      return std::unexpected(Status::BadBufferSize);
    }
    return Message{v3.message_guid, sizeof(v3), v3.buffer_size - sizeof(v3)};
  }

  void serve_message() noexcept {
    if (call(ring3_, abi::Syscall::MmIsCommBuffer, comm_.base, comm_.size) != 1) {
      answer(Status::NotFound);
      return;
    }
    auto const message = parse();
    if (!message.has_value()) {
      request_.header_bytes = 0;
      answer(message.error());
      return;
    }
    request_.header_bytes = message->header_bytes;
    request_.data_bytes = message->data_bytes;
    clear_tail(message->header_bytes + message->data_bytes);
    Status const status =
        mmi_manage(&message->type, nullptr, at<void>(comm_.base + message->header_bytes), &request_.data_bytes);
    answer(status == Status::Success ? Status::Success : Status::NotFound);
  }

  /// Clears what earlier messages and replies left behind the first `used` bytes; what is zero already is not written
  /// again.
  void clear_tail(u64 used) noexcept {
    if (cleared_to_ > used) {
      __builtin_memset(at<void>(comm_.base + used), 0, cleared_to_ - used);
    }
    cleared_to_ = used;
  }

  void answer(Status status) noexcept {
    u64 const capacity = comm_.size - request_.header_bytes;
    u64 const data = request_.data_bytes < capacity ? request_.data_bytes : capacity;
    bool const replies = request_.header_bytes != 0 && status != Status::Aborted;
    request_.status = {};
    request_.status.return_status = static_cast<u64>(status);
    request_.status.return_buffer_size = replies ? request_.header_bytes + data : 0;
    if (replies) {
      clear_tail(request_.header_bytes + data);  // of the message, nothing stays behind the reply
    } else {
      cleared_to_ = comm_.size;  // a handler that did not come back in order may have written anywhere
    }
  }

  /// Root handlers that were not called yet, then the mailbox.
  Status finish_request() noexcept {
    phase_ = Phase::Root;
    mmis_.manage(nullptr, request_.last_root, [this](MmiHandler const& h) {
      if (mmis_.depth() == 1) {
        request_.last_root = h.handle;
      }
      return invoke(h, nullptr, nullptr, nullptr);
    });
    phase_ = Phase::Idle;
    store(request_.mailbox, request_.status);
    store(request_.mailbox + sizeof(request_.status), mmis_.has_root() ? u64{0} : abi::kNoRootHandlers);
    return Status::Success;
  }

  /// Asked once whether anybody listens: a system call for nothing is dear.
  void note(abi::UserNote kind, u64 a, u64 b = 0) noexcept { listened_ = listened_ && user::note(ring3_, kind, a, b); }

  // --- Calls into images ---

  u64 owner_of(u64 function) noexcept {
    Driver const* const driver = dispatcher_.find_image(function);
    return driver != nullptr ? driver->image.base : current_image_;
  }
  u64 enter_image(u64 image) noexcept {
    u64 const caller = current_image_;
    current_image_ = image;
    return caller;
  }
  void leave_image(u64 caller) noexcept { current_image_ = caller; }

  Status invoke(MmiHandler const& handler, void const* context, void* buffer, u64* size) noexcept {
    if (handler.core != CoreHandler::None) {
      return on_event(handler.core, buffer, size);
    }
    u64 const address = reinterpret_cast<u64>(handler.function);
    u64 const caller = enter_image(handler.owner);
    note(abi::UserNote::HandlerEntered, address);
    Status const status = handler.function(handler.handle, context, buffer, size);
    note(abi::UserNote::HandlerReturned, address, static_cast<u64>(status));
    leave_image(caller);
    return status;
  }

  Status enter_driver(Driver const& driver) noexcept {
    u64 const base = driver.image.base;
    u64 const caller = enter_image(base);
    note(abi::UserNote::DriverEntered, base);
    Status const status{ring3_.call_driver(driver.entry, driver.handle, address_of(mmst_))};
    note(abi::UserNote::DriverReturned, base, static_cast<u64>(status));
    leave_image(caller);
    return status;
  }

  // --- Events ---

  /// OutOfResources: no memory for the protocol, so the drivers were not told; the sender sees an error.
  Status on_event(CoreHandler event, void* buffer, u64* size) noexcept {
    switch (event) {
      case CoreHandler::Dispatch:
        on_dispatch(buffer, size);
        return Status::Success;
      case CoreHandler::EndOfPei:
        return install_event(guids::gEfiMmEndOfPeiProtocol);
      case CoreHandler::EndOfDxe:
        return install_event(guids::gEfiMmEndOfDxeProtocolGuid);
      case CoreHandler::ReadyToLock:
        mmis_.remove_core(CoreHandler::ReadyToLock);
        mmis_.remove_core(CoreHandler::Dispatch);
        return install_event(guids::gEfiMmReadyToLockProtocolGuid);
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
    return protocols_.is_installed(protocol) ? Status::Success : install_event(protocol);
  }

  /// The status goes into a payload of 8 bytes or more.
  void on_dispatch(void* buffer, u64* size) noexcept {
    Phase const outer = phase_;
    if (phase_ == Phase::Message && mmis_.depth() == 1) {
      phase_ = Phase::Dispatch;
    }
    Status const status = run_dispatcher();
    if (buffer != nullptr && size != nullptr && *size >= sizeof(u64)) {
      store(address_of(buffer), static_cast<u64>(status));
    }
    phase_ = outer;
  }

  /// Starts what can be started; the dispatch event stays registered while a driver still waits.
  Status run_dispatcher() noexcept {
    Status const status = dispatcher_.run([this](Driver const& driver) { return enter_driver(driver); },
                                          [this](Guid const& protocol) { return protocols_.is_installed(protocol); },
                                          [this](Driver const& driver) { forget(driver.image.base); });
    if (status == Status::AlreadyStarted) {
      return status;
    }
    dispatcher_.for_each_waiting([this](Driver const& driver) { report_waiting(driver); });
    if (!dispatcher_.has_remaining()) {
      mmis_.remove_core(CoreHandler::Dispatch);
    }
    return status;
  }

  void report_waiting(Driver const& driver) noexcept {
    constexpr u32 kMostNeeds = 16;
    note(abi::UserNote::DriverWaiting, driver.image.base);
    u32 told = 0;
    Dispatcher<R>::for_each_need(
        driver, [this](Guid const& protocol) { return protocols_.is_installed(protocol); },
        [&](Guid const& guid) {
          auto const words = std::bit_cast<std::array<u64, 2>>(guid);
          if (told++ < kMostNeeds) {
            note(abi::UserNote::DriverNeeds, words[0], words[1]);
          }
        });
  }

  // --- Faults ---

  /// Registrations of an image that must not be called any more. Its memory stays: others may hold pointers into it.
  void forget(u64 image) noexcept {
    mmis_.remove_owner(image);
    protocols_.remove_owner(image, [this](Guid const& protocol) { dispatcher_.protocol_changed(protocol); });
  }

  void contain(Driver* driver) noexcept {
    if (driver == nullptr) {
      return;
    }
    driver->state = DriverState::Contained;
    forget(driver->image.base);
    note(abi::UserNote::DriverContained, driver->image.base);
  }

  /// The calls that were under way are gone; a driver whose entry point was among them cannot be used.
  void abandon() noexcept {
    dispatcher_.abandon_run([this](Driver& driver) { contain(&driver); });
    mmis_.abandon_dispatches();
    current_image_ = 0;
    ap_procedure_runs_.store(false, std::memory_order_release);
  }

  Status resume() noexcept {
    switch (phase_) {
      case Phase::Idle:
        return Status::Success;
      case Phase::Dispatch: {
        on_dispatch_resumed();
        break;
      }
      case Phase::Message:
        answer(Status::Aborted);
        break;
      case Phase::Root:
        break;
    }
    return finish_request();
  }

  void on_dispatch_resumed() noexcept {
    Status const status = run_dispatcher();
    if (request_.data_bytes >= sizeof(u64)) {
      store(comm_.base + request_.header_bytes, static_cast<u64>(status));
    }
    answer(Status::Success);
  }

  R& ring3_;
  Pool<R> pool_;
  PageLedger<R> pages_;
  ProtocolDatabase<R> protocols_;
  MmiDatabase<R> mmis_;
  Dispatcher<R> dispatcher_;
  PoolVector<ConfigurationTable, R> tables_;
  PoolVector<LoadedImageProtocol, R> images_;  ///< one a driver; drivers hold pointers to them, so they never move
  MmSystemTable* mmst_ = nullptr;
  Range comm_;          ///< internal copy of the user communicate buffer; empty when there is none
  u64 cleared_to_ = 0;  ///< bytes of it from here on are zero
  std::atomic<bool> ap_procedure_runs_{false};
  u64 current_image_ = 0;  ///< base of the driver that is executing on the BSP, 0: the core
  Phase phase_ = Phase::Idle;
  bool listened_ = true;  ///< to trace notes
  Request request_;
};

}  // namespace mm::user
