// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/arch/descriptors.hpp"
#include "core/supervisor/supervisor.hpp"

/// Ring 3 as a call: demotion, system calls, faults and their containment (supervisor.md 3.7, 4.4, 5.2, 9).
namespace mm::supervisor {

/// Whether every byte of [address, address + size) is on a present page of ring 3, all with the same rights.
/// Empty, wrapping and null-page ranges are not.
template <hal::Machine M>
bool Supervisor<M>::user_owned(Cpu& cpu, u64 address, u64 size, bool writable) noexcept {
  if (!enforced(Check::UserPointer)) {
    return true;
  }
  if (address < kPageSize || size == 0) {
    return false;
  }
  auto const attr = tables(cpu).query_uniform({address, size});
  return attr.has_value() && attr->user && (attr->writable || !writable);
}

/// The ring-3 image that holds `rip`; an empty one when none does.
template <hal::Machine M>
UserImage Supervisor<M>::image_of(u64 rip) const noexcept {
  for (u32 i = 0; i < image_count_; ++i) {
    if (images_[i].range.contains({rip, 1})) {
      return images_[i];
    }
  }
  return {};
}

/// Runs a command of the BSP in ring 3 and gives its RAX. After a contained fault: Status::Aborted, and the user core
/// was told.
template <hal::Machine M>
u64 Supervisor<M>::demote(Cpu& cpu, u32 index, abi::UserCommand command, u64 a1, u64 a2) noexcept {
  u64 rax = static_cast<u64>(Status::Aborted);
  if (!run_command(cpu, index, command, a1, a2, rax) && !stopped()) {
    report_fault(cpu, index);
  }
  return rax;
}

/// One demotion on a fresh stack. False: ring 3 faulted, the slot holds the record; or the machine was halted.
template <hal::Machine M>
bool Supervisor<M>::run_command(Cpu& cpu, u32 index, abi::UserCommand command, u64 a1, u64 a2, u64& rax) noexcept {
  hal::UserContext user;
  u64 const top = align_down(stack_base_ + stack_bytes_ * (index + u64{1}) - 8, 16);
  user.rsp = top - kHomeSpace - 8;
  user.rip = user_entry_;
  user.rcx = static_cast<u64>(command);
  user.rdx = a1;
  user.r8 = a2;
  user.r15 = arch::kUserReturnGate;
  cpu.clean_user_state();
  emit(index, hal::TraceKind::UserEnter, static_cast<u64>(command), a1);
  CpuSlot& slot = slots_[index];
  slot.syscalls = 0;
  for (;;) {
    store(slot.in_user, 1);
    hal::UserExit exit = cpu.run_user(user);
    store(slot.in_user, 0);
    if (exit.kind == hal::UserExitKind::Syscall) {
      if (++slot.syscalls <= kSyscallsPerEntry) {
        if (!handle_syscall(cpu, index, command, user)) {
          return false;
        }
        continue;
      }
      exit.kind = hal::UserExitKind::Budget;  // it polls for ever
    }
    u64 const untold = slot.syscalls > kToldSyscalls ? slot.syscalls - kToldSyscalls : 0;
    emit(index, hal::TraceKind::UserExit, static_cast<u64>(exit.kind), user.rax, untold);
    if (exit.kind == hal::UserExitKind::Return) {
      rax = user.rax;
      return true;
    }
    handle_fault(cpu, index, command, exit, user);
    return false;
  }
}

/// False: the system call was refused; ring 3 does not go on.
template <hal::Machine M>
bool Supervisor<M>::handle_syscall(Cpu& cpu, u32 index, abi::UserCommand command, hal::UserContext& user) noexcept {
  u64 const number = user.rax;
  SyscallResult const result = dispatch(cpu, index, number, user.rdx, user.r8, user.r9);
  if (stopped()) {
    return false;
  }
  user.rax = result.rax;
  bool const told = slots_[index].syscalls <= kToldSyscalls || result.status != Status::Success;
  if (number != static_cast<u64>(abi::Syscall::TraceNote) && told) {
    emit(index, hal::TraceKind::Syscall, number, user.rdx, user.r8, user.r9, result.rax,
         static_cast<u64>(result.status));
  }
  if (result.status == Status::Success) {
    return true;
  }
  if (result.contained) {
    slots_[index].fault.command = static_cast<u64>(command);
    return false;
  }
  u64 const status = static_cast<u64>(result.status);
  user.rax = number;  // as ring 3 left it
  abi::UserFaultRecord const fault{kVectorRefusedSyscall, number, user.rip, status, static_cast<u64>(command), 0};
  leave_telemetry(cpu, index, fault, user);
  if (fails_stop(fault)) {
    halt(index, hal::HaltReason::SyscallRefused, number, status);
  } else {
    contain(index, fault);
  }
  return false;
}

/// Whether a fault or a refused system call stops the machine. Under either policy do one of the user core while it
/// cleans up, and a procedure of an AP that has not ended: it would run on beside everything else.
template <hal::Machine M>
bool Supervisor<M>::fails_stop(abi::UserFaultRecord const& fault) const noexcept {
  bool const cleans_up = fault.command == static_cast<u64>(abi::UserCommand::UserFault);
  bool const ap_runs_on = fault.vector == kVectorRefusedSyscall &&
                          fault.error_code == static_cast<u64>(abi::Syscall::StartApProc) &&
                          fault.cr2 == static_cast<u64>(Status::Timeout);
  return options_.fault_policy != static_cast<u32>(abi::FaultPolicy::Contain) || ap_runs_on ||
         (cleans_up && image_of(user_entry_).range.contains({fault.rip, 1}));
}

/// Four events: the registers of ring 3, CR2 and the error code. RF is the CPU's own note and differs between CPUs.
template <hal::Machine M>
void Supervisor<M>::report_registers(u32 index, u64 error, u64 cr2, hal::UserContext const& user) noexcept {
  constexpr u64 kResumeFlag = 1ull << 16;
  auto const& u = user;
  emit(index, hal::TraceKind::Registers, 0, u.rax, u.rbx, u.rcx, u.rdx, u.rsi);
  emit(index, hal::TraceKind::Registers, 1, u.rdi, u.rbp, u.rsp, u.r8, u.r9);
  emit(index, hal::TraceKind::Registers, 2, u.r10, u.r11, u.r12, u.r13, u.r14);
  emit(index, hal::TraceKind::Registers, 3, u.r15, u.rip, u.rflags & ~kResumeFlag, cr2, error);
}

/// Before the machine stops, or the driver is removed: MM_SUPV_TELEMETRY_DATA in the supervisor-to-user page. The
/// error-report pointer of ring 3 is not called: what has failed is not asked again.
template <hal::Machine M>
void Supervisor<M>::leave_telemetry(Cpu& cpu, u32 index, abi::UserFaultRecord const& fault,
                                    hal::UserContext const& user) noexcept {
  report_registers(index, fault.error_code, fault.cr2, user);
  abi::TelemetryData data;
  UserImage const image = image_of(user.rip);
  data.exception_type = fault.vector;
  data.exception_rip = user.rip;
  data.driver_load_address = image.hob == 0 ? user.rip : image.range.base;
  if (image.hob != 0) {
    data.driver_id = hal::read_object<abi::HobMemoryAllocationModule>(cpu, PhysAddr{image.hob}).module_name;
  }
  auto& c = data.context;
  c.exception_data = fault.error_code;
  c.cr2 = fault.cr2;
  c.cr3 = root_;
  c.rflags = user.rflags;
  c.rip = user.rip;
  c.cs = arch::kUserCodeSelector;
  c.ss = c.ds = c.es = c.fs = c.gs = arch::kUserDataSelector;
  c.rdi = user.rdi, c.rsi = user.rsi, c.rbp = user.rbp, c.rsp = user.rsp;
  c.rbx = user.rbx, c.rdx = user.rdx, c.rcx = user.rcx, c.rax = user.rax;
  c.r8 = user.r8, c.r9 = user.r9, c.r10 = user.r10, c.r11 = user.r11;
  c.r12 = user.r12, c.r13 = user.r13, c.r14 = user.r14, c.r15 = user.r15;
  bool const stops = fails_stop(fault);
  write_telemetry(cpu, index, stops ? abi::kTelemetryOffset : abi::kContainedTelemetryOffset, data);
}

template <hal::Machine M>
void Supervisor<M>::write_telemetry(Cpu& cpu, u32 index, u64 offset, abi::TelemetryData const& data) noexcept {
  {
    hal::UserAccess access(cpu);
    hal::write_object(cpu, PhysAddr{user_page_ + offset}, data);
  }
  emit(index, hal::TraceKind::Telemetry, offset, data.exception_type, data.context.exception_data, data.exception_rip,
       data.context.cr2, data.driver_load_address);
}

template <hal::Machine M>
void Supervisor<M>::handle_fault(Cpu& cpu, u32 index, abi::UserCommand command, hal::UserExit const& exit,
                                 hal::UserContext const& user) noexcept {
  if (exit.kind == hal::UserExitKind::Fault && exit.vector == kVectorMachineCheck) {
    supervisor_fault(cpu, exit.vector, exit.error_code, user.rip, exit.cr2);  // of the CPU, whoever it interrupted
    return;
  }
  bool const budget = exit.kind == hal::UserExitKind::Budget;
  u64 const vector = budget ? kVectorBudget : exit.vector;
  emit(index, hal::TraceKind::Fault, vector, exit.error_code, user.rip, exit.cr2, user.rsp, static_cast<u64>(command));
  abi::UserFaultRecord const fault{vector, exit.error_code, user.rip, exit.cr2, static_cast<u64>(command), 0};
  leave_telemetry(cpu, index, fault, user);
  if (fails_stop(fault)) {
    halt(index, budget ? hal::HaltReason::UserBudget : hal::HaltReason::UserFault, vector, user.rip);
  } else {
    contain(index, fault);
  }
}

template <hal::Machine M>
void Supervisor<M>::contain(u32 index, abi::UserFaultRecord record) noexcept {
  record.image_base = image_of(record.rip).range.base;
  slots_[index].fault = record;
  emit(index, hal::TraceKind::Contained, record.image_base);
}

/// Hands the fault record to the user core, which removes the driver and goes on with what was under way. There it may
/// come to the next faulty driver: as many faults as there are images, one more halts.
template <hal::Machine M>
void Supervisor<M>::report_fault(Cpu& cpu, u32 index) noexcept {
  abi::UserFaultRecord const& fault = slots_[index].fault;
  if (!enforced(Check::ContainCleanUp)) {
    return;
  }
  for (u32 left = image_count_; left != 0; --left) {
    write_fault_record(cpu, fault);
    u64 rax = 0;
    if (run_command(cpu, index, abi::UserCommand::UserFault, user_page_, 0, rax) || stopped()) {
      return;
    }
  }
  halt(index, hal::HaltReason::UserFault, fault.vector, fault.rip);
}

template <hal::Machine M>
void Supervisor<M>::write_fault_record(Cpu& cpu, abi::UserFaultRecord const& fault) noexcept {
  hal::UserAccess access(cpu);
  hal::write_object(cpu, PhysAddr{user_page_ + abi::kUserFaultOffset}, fault);
}

}  // namespace mm::supervisor
