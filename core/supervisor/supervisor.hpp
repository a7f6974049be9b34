// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/first_mmi.hpp"
#include "core/supervisor/parts.hpp"
#include "core/supervisor/syscalls.hpp"

namespace mm::supervisor {

/// The MM Supervisor: ring 0 of management mode, over any machine. All of its state is in this object and in MMRAM.
///
/// This file is the order of one MMI (core/ARCHITECTURE.md 2); what it consists of is in the parts (parts.hpp). The BSP
/// takes over in its first MMI (first_mmi.hpp), waits for every CPU, serves at most one message of one channel and lets
/// the others go. An AP waits in the pen and runs what the BSP asks it to.
template <hal::Machine M>
class Supervisor {
 public:
  using Cpu = typename M::Cpu;

  explicit constexpr Supervisor(M& machine) noexcept : machine_(machine) {}

  /// One whole MMI of one CPU: the first call on a CPU initialises it, later ones serve. `cpu_index` is dense.
  /// `hob_list` is the loader's list in MMRAM; it is read by the BSP in its first MMI only.
  void enter(Cpu& cpu, u32 cpu_index, PhysAddr hob_list) noexcept;

  /// A fault of ring 0: traces it and stops the machine. Does not return where the machine can stop.
  void supervisor_fault(Cpu& cpu, u64 vector, u64 error, u64 rip, u64 cr2) noexcept {
    u32 const index = parts_.processors.index_of(cpu);
    parts_.ring3.faults().ring0(parts_.processors.here(machine_, cpu, index), {vector, error, rip, cr2});
  }

  /// Address of the supervisor-to-user page, for tools; 0 before the first MMI.
  u64 user_page() const noexcept { return parts_.ring3.faults().page().address(); }
  /// Supervisor mailbox, user mailbox, supervisor buffer, user buffer: pages of the normal world.
  CommPages comm_pages() const noexcept { return parts_.channels.pages(); }

 private:
  void enter_bsp(Here<M> const& here, PhysAddr hob_list) noexcept;
  void enter_ap(Here<M> const& here) noexcept;
  void start(Here<M> const& here, PhysAddr hob_list) noexcept;
  void serve(Here<M> const& here) noexcept;
  void serve_user(Here<M> const& here, abi::CommBufferStatus status) noexcept;
  void serve_supervisor(Here<M> const& here, abi::CommBufferStatus status) noexcept;
  void serve_asynchronous(Here<M> const& here) noexcept;
  abi::CommBufferStatus request_user(Here<M> const& here, abi::CommBufferStatus const& status) noexcept {
    SystemCalls<M> calls(parts_);
    return parts_.ring3.request(here, parts_.processors.count(), status, calls);
  }

  M& machine_;
  Parts<M> parts_;
};

template <hal::Machine M>
void Supervisor<M>::enter(Cpu& cpu, u32 cpu_index, PhysAddr hob_list) noexcept {
  if (cpu_index >= platform::kMaxCpus) {
    parts_.processors.here(machine_, cpu, 0).halt({InitProblem::CpuIndex, cpu_index});
    return;
  }
  Here<M> const here = parts_.processors.here(machine_, cpu, cpu_index);
  ++here.slot.mmis;
  here.emit(hal::event::MmiEntry{here.slot.mmis});
  if (here.load(here.slot.in_user) != 0) {
    here.halt(hal::HaltReason::RsmBreach);
    return;
  }
  if (parts_.processors.is_bsp(here)) {
    enter_bsp(here, hob_list);
  } else {
    enter_ap(here);
  }
}

template <hal::Machine M>
void Supervisor<M>::enter_bsp(Here<M> const& here, PhysAddr hob_list) noexcept {
  Processors<M>& processors = parts_.processors;
  processors.begin(here);
  if (!processors.is_ready(here)) {
    start(here, hob_list);
  } else if (processors.gather(here)) {
    serve(here);
  }
  if (!here.stopped()) {
    processors.release(here);
    processors.end(here);
  }
}

template <hal::Machine M>
void Supervisor<M>::enter_ap(Here<M> const& here) noexcept {
  parts_.processors.wait_in_pen(here, [&](u64 procedure, u64 argument) noexcept {
    here.cpu.flush_tlb();  // the BSP may have changed the tables since this CPU entered
    here.emit(hal::event::ApProcedure{procedure, argument, here.slot.caller});
    SystemCalls<M> calls(parts_);
    return parts_.ring3.run(here, {abi::UserCommand::UserApProcedure, procedure, argument}, calls).has_value();
  });
}

/// The first MMI. Whoever of the three fails has stopped the machine.
template <hal::Machine M>
void Supervisor<M>::start(Here<M> const& here, PhysAddr hob_list) noexcept {
  if (!FirstMmi<M>(machine_, parts_, here, hob_list).run() || !parts_.processors.gather(here)) {
    return;
  }
  SystemCalls<M> calls(parts_);
  u64 const status = parts_.ring3.demote(here, {abi::UserCommand::StartUserCore, parts_.ring3.hob_list(), 0}, calls);
  if (!here.stopped()) {
    parts_.space.report(here);
    here.emit(hal::event::MmiExit{abi::Channel::None, status});
  }
}

/// Both mailboxes are read once; the user's wins, the other stays pending for the next MMI.
template <hal::Machine M>
void Supervisor<M>::serve(Here<M> const& here) noexcept {
  auto const user = parts_.channels.mailbox(here, abi::Channel::User);
  auto const supervisor = parts_.channels.mailbox(here, abi::Channel::Supervisor);
  if (user->is_comm_buffer_valid != 0) {
    serve_user(here, *user);
  } else if (supervisor->is_comm_buffer_valid != 0) {
    serve_supervisor(here, *supervisor);
  } else {
    serve_asynchronous(here);
  }
}

template <hal::Machine M>
void Supervisor<M>::serve_user(Here<M> const& here, abi::CommBufferStatus status) noexcept {
  constexpr auto kUser = abi::Channel::User;
  Channels<M>& channels = parts_.channels;
  status.return_buffer_size = 0;
  if (auto const message = channels.copy_in(here, kUser); !message) {
    channels.refuse(here, kUser, message.error(), status);
    return;
  }
  abi::CommBufferStatus const reply = request_user(here, status);
  if (here.stopped()) {
    return;
  }
  channels.expect_user_writes(reply.return_buffer_size);
  status.return_status = reply.return_status;
  status.return_buffer_size = reply.return_buffer_size;
  if (reply.return_buffer_size > channels.copy_of(kUser).size) {
    status.return_status = static_cast<u64>(Status::BadBufferSize);
    status.return_buffer_size = 0;
  }
  if (status.return_buffer_size != 0) {
    channels.copy_out(here, kUser, status.return_buffer_size);
  }
  channels.finish(here, kUser, status);
}

template <hal::Machine M>
void Supervisor<M>::serve_supervisor(Here<M> const& here, abi::CommBufferStatus status) noexcept {
  constexpr auto kSupervisor = abi::Channel::Supervisor;
  Channels<M>& channels = parts_.channels;
  bool const closed = parts_.requests.is_runtime() && here.enforced(Check::RuntimeGate);
  if (Status const wrong = precondition::supervisor_channel(closed); wrong != Status::Success) {
    channels.refuse(here, kSupervisor, wrong, status);
    return;
  }
  auto const message = channels.copy_in(here, kSupervisor);
  if (!message) {
    channels.refuse(here, kSupervisor, message.error(), status);
    return;
  }
  u64 reply = message->message_bytes;
  Status const handled = parts_.requests.handle(here, channels, parts_.space, parts_.gate, *message, reply);
  status.return_status = static_cast<u64>(handled == Status::Success ? Status::Success : Status::NotFound);
  status.return_buffer_size = message->header_bytes + reply;
  channels.copy_out(here, kSupervisor, status.return_buffer_size);
  channels.finish(here, kSupervisor, status);
}

/// No mailbox is valid: ring 3, when it has root handlers, gets a chance to serve whatever raised the MMI.
template <hal::Machine M>
void Supervisor<M>::serve_asynchronous(Here<M> const& here) noexcept {
  if (parts_.ring3.has_root_handlers()) {
    static_cast<void>(request_user(here, {}));
  }
  if (!here.stopped()) {
    here.emit(hal::event::MmiExit{abi::Channel::None});
  }
}

}  // namespace mm::supervisor
