// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/user/events.hpp"
#include "core/user/message.hpp"

namespace mm::user {

/// The ring-3 core: hosts the MM drivers and serves the commands of the supervisor (abi::UserCommand). One object a
/// machine; the functions of the MMST find it through MmstThunks, which lets only the BSP in.
template <Ring3 R>
class UserCore {
 public:
  explicit UserCore(R& ring3) noexcept : services_(ring3), events_(services_) {}
  UserCore(UserCore const&) = delete;
  UserCore& operator=(UserCore const&) = delete;

  /// StartUserCore. `services` is an MMST with every function set; `protocols` must outlive the core.
  /// AlreadyStarted; InvalidParameter: no HOB list; OutOfResources.
  Status start(u64 hob_list, MmSystemTable const& services, CoreProtocols* protocols) noexcept {
    if (services_.mmst() != nullptr) {
      return Status::AlreadyStarted;
    }
    if (hob_list == 0) {
      return Status::InvalidParameter;
    }
    buffer_.find(hob_list);
    services_.guard().find(hob_list);
    if (!services_.dispatcher().discover(hob_list).has_value()) {
      return Status::OutOfResources;
    }
    if (Status const made = services_.make_table(services, count_cpus(hob_list)); made != Status::Success) {
      return made;
    }
    Status const status = publish(hob_list, *protocols);
    if (status != Status::Success) {
      services_.drop_table();
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
    MmSystemTable* const mmst = services_.mmst();
    if (mmst == nullptr) {
      return Status::NotReady;
    }
    auto const context = load<abi::MmEntryContext>(page);
    mmst->currently_executing_cpu = context.currently_executing_cpu;
    mmst->number_of_cpus = context.number_of_cpus;
    if (events_.phase() != Phase::Idle) {
      events_.abandon();  // a driver ended the last request itself, through the call gate
      buffer_.distrust();
    }
    request_ = Request{};
    request_.mailbox = page + context_bytes;
    request_.status = load<abi::CommBufferStatus>(request_.mailbox);
    if (buffer_.range().size != 0 && request_.status.is_comm_buffer_valid != 0) {
      events_.set_phase(Phase::Message);
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
    if (services_.mmst() == nullptr) {
      return Status::NotReady;
    }
    auto const record = load<abi::UserFaultRecord>(page + abi::kUserFaultOffset);
    constexpr u64 kPageFault = 14;
    if (services_.guard().on() && record.vector == kPageFault) {
      services_.note_defect(services_.guard().defect_at(record.cr2), record.cr2);
    }
    events_.contain_at(record.rip);
    services_.end_ap_procedure();  // START_AP_PROC may be what did not come back
    events_.abandon();
    return resume();
  }

  Services<R>& services() noexcept { return services_; }
  Events<R>& events() noexcept { return events_; }
  MmSystemTable* mmst() noexcept { return services_.mmst(); }

 private:
  struct Request {
    u64 mailbox = 0;
    abi::CommBufferStatus status;
    u64 header_bytes = 0;
    u64 data_bytes = 0;    ///< in: message; out: what the handler made of it
    Handle last_root = 0;  ///< root handlers up to here were called
  };

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
    Status status = services_.install_configuration_table(&guids::gEfiHobListGuid, at<void>(hob_list));
    if (status == Status::Success) {
      status = services_.install_event(guids::gEfiMmCpuProtocolGuid, &protocols.cpu);
    }
    if (status == Status::Success) {
      status = services_.install_event(guids::gSmmExceptionTestProtocolGuid, &protocols.exception_test);
    }
    if (status == Status::Success) {
      status = services_.install_event(guids::gMmRing3HandlerReadyProtocol);
    }
    if (status == Status::Success) {
      status = services_.publish_images();
    }
    return status == Status::Success ? events_.publish() : status;
  }

  void serve_message() noexcept {
    Range const comm = buffer_.range();
    if (call(services_.ring3(), abi::Syscall::MmIsCommBuffer, comm.base, comm.size) != 1) {
      answer(Status::NotFound);
      return;
    }
    auto const message = buffer_.parse();
    if (!message.has_value()) {
      request_.header_bytes = 0;
      answer(message.error());
      return;
    }
    request_.header_bytes = message->header_bytes;
    request_.data_bytes = message->data_bytes;
    buffer_.clear_tail(message->header_bytes + message->data_bytes);
    Status const status = services_.guard().on() ? serve_guarded(message->type) : serve(message->type, data_at());
    answer(status == Status::Success ? Status::Success : Status::NotFound);
  }

  u64 data_at() const noexcept { return buffer_.range().base + request_.header_bytes; }
  Status serve(Guid const& type, u64 data) noexcept {
    return events_.manage(&type, nullptr, at<void>(data), &request_.data_bytes);
  }

  /// The same under the heap guard: the handlers have a copy of the message, behind which is nothing, and what they
  /// answer is looked at.
  Status serve_guarded(Guid const& type) noexcept {
    HeapGuard<R>& guard = services_.guard();
    u64 const room = request_.data_bytes;
    guard.see_message(data_at(), room);
    u64 const copy = guard.copies_messages() ? guard.copy_message(data_at(), room, buffer_.range().size) : 0;
    Status const status = serve(type, copy != 0 ? copy : data_at());
    if (copy != 0 && request_.data_bytes > room) {
      services_.note_defect(abi::DriverDefect::ReplySize, request_.data_bytes);
      request_.data_bytes = room;
    }
    u64 const capacity = buffer_.range().size - request_.header_bytes;
    u64 const reply = request_.data_bytes < capacity ? request_.data_bytes : capacity;
    if (copy != 0) {
      __builtin_memcpy(at<void>(data_at()), at<void const>(copy), reply);
    }
    if (auto const where = guard.unwritten_in(data_at(), status == Status::Success ? reply : 0)) {
      services_.note_defect(abi::DriverDefect::UnwrittenReply, *where);
    }
    return status;
  }

  void answer(Status status) noexcept {
    u64 const capacity = buffer_.range().size - request_.header_bytes;
    u64 const data = request_.data_bytes < capacity ? request_.data_bytes : capacity;
    bool const replies = request_.header_bytes != 0 && status != Status::Aborted;
    request_.status = {};
    request_.status.return_status = static_cast<u64>(status);
    request_.status.return_buffer_size = replies ? request_.header_bytes + data : 0;
    if (replies) {
      buffer_.clear_tail(request_.header_bytes + data);  // of the message, nothing stays behind the reply
    } else {
      buffer_.distrust();
    }
  }

  /// Root handlers that were not called yet, then the mailbox.
  Status finish_request() noexcept {
    events_.manage_roots(request_.last_root);
    events_.set_phase(Phase::Idle);
    store(request_.mailbox, request_.status);
    store(request_.mailbox + sizeof(request_.status), services_.mmis().has_root() ? u64{0} : abi::kNoRootHandlers);
    return Status::Success;
  }

  Status resume() noexcept {
    switch (events_.phase()) {
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
    Status const status = events_.run_dispatcher();
    if (request_.data_bytes >= sizeof(u64)) {
      store(buffer_.range().base + request_.header_bytes, static_cast<u64>(status));
    }
    answer(Status::Success);
  }

  Services<R> services_;
  Events<R> events_;
  MessageBuffer buffer_;
  Request request_;
};

}  // namespace mm::user
