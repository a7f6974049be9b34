// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>

#include "core/abi/syscalls.hpp"
#include "core/arch/descriptors.hpp"
#include "core/supervisor/faults.hpp"
#include "core/supervisor/here.hpp"

namespace mm::supervisor {

/// Who answers the system calls of an entry of ring 3.
template <typename S, typename M>
concept SyscallServer = requires(S& s, Here<M> const& here, u64 number, abi::SyscallWords const& words) {
  { s.serve(here, number, words) } noexcept -> std::same_as<SyscallResult>;
};

/// Ring 3 as a call (core/ARCHITECTURE.md 6): a demotion runs one command of the user core on a fresh stack until
/// it returns, faults, is refused a system call or is out of budget. Each CPU has a stack of its own.
template <hal::Machine M>
class Ring3 {
 public:
  /// What the hand-over says of ring 3. `stacks`: the stacks of all CPUs, `stack_bytes` each.
  struct Setup {
    u64 entry = 0;
    u64 stacks = 0;
    u64 stack_bytes = 0;
  };
  void adopt(Setup const& setup) noexcept { setup_ = setup; }
  /// Ring 3's copy of the HOB list.
  void publish(Range hob_list) noexcept { hob_list_ = hob_list; }
  u64 hob_list() const noexcept { return hob_list_.base; }

  Faults<M>& faults() noexcept { return faults_; }
  Faults<M> const& faults() const noexcept { return faults_; }

  /// Runs a command of the BSP and gives its RAX. After a contained fault: Status::Aborted, and the user core was told.
  template <SyscallServer<M> S>
  u64 demote(Here<M> const& here, Demotion const& command, S& server) noexcept {
    auto const rax = run(here, command, server);
    if (!rax && !here.stopped()) {
      report_fault(here, server);
    }
    return rax.value_or(static_cast<u64>(Status::Aborted));
  }
  /// One demotion: its RAX. None: ring 3 faulted, the slot holds the record; or the machine was halted.
  template <SyscallServer<M> S>
  std::optional<u64> run(Here<M> const& here, Demotion const& command, S& server) noexcept;

  /// UserRequest: gives the status block that ring 3 left, and learns whether it has root handlers. After a fault that
  /// the user core did not complete, both are as before the request.
  template <SyscallServer<M> S>
  abi::CommBufferStatus request(Here<M> const& here, u32 cpus, abi::CommBufferStatus const& status,
                                S& server) noexcept {
    UserPage<M> const& page = faults_.page();
    page.write_request(here, cpus, status);
    demote(here, {abi::UserCommand::UserRequest, page.address(), sizeof(abi::MmEntryContext)}, server);
    auto const reply = page.read_reply(here);
    has_root_handlers_ = reply.has_root_handlers;
    return reply.status;
  }
  /// Whether ring 3 wants to be asked about an MMI without a message: what the last request left behind.
  bool has_root_handlers() const noexcept { return has_root_handlers_; }

  /// ERR_RPT_JMP: accepted once (AlreadyStarted); the pointer is never called.
  Status set_error_report(u64 address) noexcept {
    if (error_report_ != 0) {
      return Status::AlreadyStarted;
    }
    error_report_ = address;
    return Status::Success;
  }

 private:
  hal::UserContext first_context(u32 index, Demotion const& command) const noexcept {
    hal::UserContext user;
    u64 const top = align_down(setup_.stacks + setup_.stack_bytes * (index + u64{1}) - 8, 16);
    user.rsp = top - kHomeSpace - 8;
    user.rip = setup_.entry;
    user.rcx = static_cast<u64>(command.command);
    user.rdx = command.first;
    user.r8 = command.second;
    user.r15 = arch::kUserReturnGate;
    return user;
  }
  static hal::UserExit enter(Here<M> const& here, hal::UserContext& user) noexcept {
    here.store(here.slot.in_user, 1);
    hal::UserExit const exit = here.cpu.run_user(user);
    here.store(here.slot.in_user, 0);
    return exit;
  }
  template <SyscallServer<M> S>
  bool serve(Here<M> const& here, abi::UserCommand command, hal::UserContext& user, S& server) noexcept;
  void handle_fault(Here<M> const& here, abi::UserCommand command, hal::UserExit const& exit,
                    hal::UserContext const& user) const noexcept;
  template <SyscallServer<M> S>
  void report_fault(Here<M> const& here, S& server) noexcept;

  Faults<M> faults_;
  Setup setup_;
  Range hob_list_;
  u64 error_report_ = 0;
  bool has_root_handlers_ = true;
};

template <hal::Machine M>
template <SyscallServer<M> S>
std::optional<u64> Ring3<M>::run(Here<M> const& here, Demotion const& command, S& server) noexcept {
  hal::UserContext user = first_context(here.index, command);
  here.cpu.clean_user_state();
  here.emit(hal::event::UserEnter{command.command, command.first});
  CpuSlot& slot = here.slot;
  slot.syscalls = 0;
  for (;;) {
    hal::UserExit exit = enter(here, user);
    if (exit.kind == hal::UserExitKind::Syscall) {
      if (++slot.syscalls <= kSyscallsPerEntry) {
        if (!serve(here, command.command, user, server)) {
          return {};
        }
        continue;
      }
      exit.kind = hal::UserExitKind::Budget;  // it polls for ever
    }
    u64 const untold = slot.syscalls > kToldSyscalls ? slot.syscalls - kToldSyscalls : 0;
    here.emit(hal::event::UserExit{exit.kind, user.rax, untold});
    if (exit.kind == hal::UserExitKind::Return) {
      return user.rax;
    }
    handle_fault(here, command.command, exit, user);
    return {};
  }
}

/// False: the system call was refused; ring 3 does not go on.
template <hal::Machine M>
template <SyscallServer<M> S>
bool Ring3<M>::serve(Here<M> const& here, abi::UserCommand command, hal::UserContext& user, S& server) noexcept {
  u64 const number = user.rax;
  SyscallResult const result = server.serve(here, number, {user.rdx, user.r8, user.r9});
  if (here.stopped()) {
    return false;
  }
  bool const told = here.slot.syscalls <= kToldSyscalls || result.status != Status::Success;
  if (number != static_cast<u64>(abi::Syscall::TraceNote) && told) {
    here.emit(
        hal::event::Syscall{static_cast<abi::Syscall>(number), user.rdx, user.r8, user.r9, result.rax, result.status});
  }
  if (result.status == Status::Success) {
    user.rax = result.rax;
    return true;
  }
  if (result.contained) {
    here.slot.fault.command = static_cast<u64>(command);
  } else {
    faults_.refused(here, command, result.status, user);
  }
  return false;
}

template <hal::Machine M>
void Ring3<M>::handle_fault(Here<M> const& here, abi::UserCommand command, hal::UserExit const& exit,
                            hal::UserContext const& user) const noexcept {
  if (exit.kind == hal::UserExitKind::Fault && exit.vector == kVectorMachineCheck) {
    faults_.ring0(here, {exit.vector, exit.error_code, user.rip, exit.cr2});  // of the CPU, whoever it interrupted
    return;
  }
  u64 const vector = exit.kind == hal::UserExitKind::Budget ? kVectorBudget : exit.vector;
  faults_.ring3(here, command, {vector, exit.error_code, user.rip, exit.cr2}, user);
}

/// Hands the fault record to the user core, which removes the driver and goes on with what was under way. There it may
/// come to the next faulty driver: as many faults as there are images, one more halts.
template <hal::Machine M>
template <SyscallServer<M> S>
void Ring3<M>::report_fault(Here<M> const& here, S& server) noexcept {
  abi::UserFaultRecord const& fault = here.slot.fault;
  if (!here.enforced(Check::ContainCleanUp)) {
    return;
  }
  UserPage<M> const& page = faults_.page();
  for (u32 left = faults_.images().count(); left != 0; --left) {
    page.write_fault(here, fault);
    if (run(here, {abi::UserCommand::UserFault, page.address(), 0}, server) || here.stopped()) {
      return;
    }
  }
  here.halt(hal::HaltReason::UserFault, fault.vector, fault.rip);
}

}  // namespace mm::supervisor
