// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/supervisor.hpp"

/// Application processors: the holding pen and procedures run on request of the BSP (supervisor.md 3.6).
namespace mm::supervisor {

/// Waits in the pen until released. An MMI that the BSP does not join within the rendezvous time stops the machine.
template <hal::Machine M>
void Supervisor<M>::enter_ap(Cpu& cpu, u32 index) noexcept {
  CpuSlot& slot = slots_[index];
  u32 const generation = load(release_generation_);
  Wait wait(cpu, kRendezvousUs);
  while (load(release_generation_) == generation && !stopped()) {
    if (load(init_done_) != 0) {
      if (slot.initialised == 0 && !register_cpu(cpu, index)) {
        return;
      }
      store(slot.in_pen, 1);
      if (load(slot.mailbox) == static_cast<u32>(Mailbox::Pending)) {
        run_mailbox(cpu, index);
        continue;
      }
    }
    if (load(bsp_inside_) != 0) {
      wait.restart();
      cpu.pause();
    } else if (!wait.go_on()) {
      halt(index, hal::HaltReason::RendezvousTimeout, 1, cpu_count_);
      return;
    }
  }
  store(slot.in_pen, 0);
  increment(released_);
}

template <hal::Machine M>
void Supervisor<M>::run_mailbox(Cpu& cpu, u32 index) noexcept {
  CpuSlot& slot = slots_[index];
  cpu.flush_tlb();  // the BSP may have changed the tables since this CPU entered
  emit(index, hal::TraceKind::ApProcedure, slot.procedure, slot.argument, slot.caller);
  u64 rax = 0;
  bool const ended = run_command(cpu, index, abi::UserCommand::UserApProcedure, slot.procedure, slot.argument, rax);
  if (!stopped()) {
    store(slot.mailbox, static_cast<u32>(ended ? Mailbox::Done : Mailbox::Faulted));
  }
}

/// START_AP_PROC: returns when the procedure has returned.
/// AccessDenied: not the BSP. InvalidParameter: no such AP, or an address that is not mapped. SecurityViolation: an
/// address that is not ring 3's. Timeout: the procedure did not end within kApProcedureUs; nothing can stop ring 3 on
/// another CPU, so that this stops the machine under either fault policy. Aborted: it faulted and was contained; the
/// caller does not go on either, and the user core is told of the fault on this CPU.
template <hal::Machine M>
SyscallResult Supervisor<M>::start_ap(Cpu& cpu, u32 index, u64 procedure, u64 target, u64 argument) noexcept {
  if (index != bsp_index_) {
    return refuse(Status::AccessDenied);
  }
  if (target >= cpu_count_ || target == index || procedure == 0) {
    return refuse(Status::InvalidParameter);
  }
  cpu.speculation_barrier();
  for (u64 const address : {procedure, argument}) {
    if (address != 0 && !user_owned(cpu, address, 8)) {
      return refuse(tables(cpu).query(address) ? Status::SecurityViolation : Status::InvalidParameter);
    }
  }
  CpuSlot& slot = slots_[target];
  if (load(slot.mailbox) != static_cast<u32>(Mailbox::Empty)) {
    return refuse(Status::InvalidParameter);
  }
  slot.procedure = procedure;
  slot.argument = argument;
  slot.caller = index;
  store(slot.mailbox, static_cast<u32>(Mailbox::Pending));
  Wait wait(cpu, kApProcedureUs);
  while (load(slot.mailbox) == static_cast<u32>(Mailbox::Pending) && !stopped()) {
    if (!wait.go_on()) {
      return refuse(Status::Timeout);
    }
  }
  bool const faulted = load(slot.mailbox) == static_cast<u32>(Mailbox::Faulted);
  store(slot.mailbox, static_cast<u32>(Mailbox::Empty));
  if (!faulted) {
    return answer(Status::Success);
  }
  slots_[index].fault = slot.fault;
  return {0, Status::Aborted, true};
}

}  // namespace mm::supervisor
