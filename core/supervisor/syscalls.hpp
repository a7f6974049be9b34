// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/syscalls.hpp"
#include "core/supervisor/parts.hpp"

namespace mm::supervisor {

/// The handlers of the system calls (core/abi/ABI.md 1): for each struct of abi::Calls one function `on()`, which
/// may answer, or refuse: then ring 3 does not go on. Without its function the program does not compile.
///
/// Rules: what decides on the arguments alone is a function of preconditions.hpp, each status of it is told there. An
/// address of ring 3 is used only through AddressSpace::claim(); a privileged operation only behind Gate.
template <hal::Machine M>
class SystemCalls {
 public:
  explicit SystemCalls(Parts<M>& parts) noexcept : parts_(parts) {}

  /// InvalidParameter: no such system call. AccessDenied: not one of this CPU.
  SyscallResult serve(Here<M> const& here, u64 number, abi::SyscallWords const& words) noexcept {
    return find(here, number, words, static_cast<abi::Calls const*>(nullptr));
  }

 private:
  template <typename... C>
  SyscallResult find(Here<M> const& here, u64 number, abi::SyscallWords const& words,
                     std::tuple<C...> const*) noexcept {
    SyscallResult result = refuse(Status::InvalidParameter);
    static_cast<void>(((number == static_cast<u64>(C::kRow.number) && (result = call<C>(here, words), true)) || ...));
    return result;
  }
  template <typename C>
  SyscallResult call(Here<M> const& here, abi::SyscallWords const& words) noexcept {
    if constexpr (C::kRow.caller == abi::Caller::Bsp) {
      Status const allowed = precondition::caller(C::kRow, parts_.processors.is_bsp(here));
      if (allowed != Status::Success) {
        return refuse(allowed);
      }
    }
    return on(here, abi::arguments_of<C>(words));
  }

  // --- behind the policy
  SyscallResult on(Here<M> const& here, abi::call::RdMsr const& call) noexcept {
    Status const allowed = may_access_msr(here, call.msr, policy::kRead);
    if (allowed != Status::Success) {
      return refuse(allowed);
    }
    auto const read = here.cpu.read_msr(static_cast<u32>(call.msr));
    return read ? answer(*read) : refuse(read.error());  // Unsupported: the CPU refuses
  }
  SyscallResult on(Here<M> const& here, abi::call::WrMsr const& call) noexcept {
    Status const allowed = may_access_msr(here, call.msr, policy::kWrite);
    if (allowed != Status::Success) {
      return refuse(allowed);
    }
    auto const written = here.cpu.write_msr(static_cast<u32>(call.msr), call.value);
    return written ? answer(u64{0}) : refuse(written.error());
  }
  SyscallResult on(Here<M> const& here, abi::call::IoRead const& call) noexcept {
    Status const allowed = may_access_port(here, call.port, call.width, policy::kRead);
    if (allowed != Status::Success) {
      return refuse(allowed);
    }
    return answer(u64{here.cpu.port_in(static_cast<u16>(call.port), call.width)});
  }
  SyscallResult on(Here<M> const& here, abi::call::IoWrite const& call) noexcept {
    Status const allowed = may_access_port(here, call.port, call.width, policy::kWrite);
    if (allowed != Status::Success) {
      return refuse(allowed);
    }
    here.cpu.port_out(static_cast<u16>(call.port), call.width, static_cast<u32>(call.value));
    return answer(u64{0});
  }
  SyscallResult on(Here<M> const& here, abi::call::Cli const&) noexcept {
    return behind(here, policy::Instruction::Cli, [&] { here.cpu.cli(); });
  }
  SyscallResult on(Here<M> const& here, abi::call::Wbinvd const&) noexcept {
    return behind(here, policy::Instruction::Wbinvd, [&] { here.cpu.wbinvd(); });
  }
  SyscallResult on(Here<M> const& here, abi::call::Hlt const&) noexcept {
    return behind(here, policy::Instruction::Hlt, [&] { here.cpu.hlt(); });
  }
  SyscallResult on(Here<M> const& here, abi::call::SaveStateRead const& call) noexcept {
    return parts_.save_state.stage(here, parts_.processors, call);
  }
  SyscallResult on(Here<M> const& here, abi::call::SaveStateRead2 const& call) noexcept {
    return parts_.save_state.read(here, parts_.processors, parts_.space, parts_.gate, call);
  }

  // --- memory
  SyscallResult on(Here<M> const& here, abi::call::AllocPage const& call) noexcept;
  SyscallResult on(Here<M> const& here, abi::call::FreePage const& call) noexcept;
  SyscallResult on(Here<M> const& here, abi::call::MmUnblocked const& call) noexcept {
    return answer(parts_.space.is_open_to_user(here, call.address, call.bytes) ? u64{1} : u64{0});
  }
  SyscallResult on(Here<M> const& here, abi::call::MmIsCommBuffer const& call) noexcept {
    bool const inside = parts_.channels.copy_of(abi::Channel::User).contains({raw(call.address), call.bytes});
    return inside || !here.enforced(Check::CommBufferQuery) ? answer(u64{1}) : answer(Status::SecurityViolation);
  }

  // --- other CPUs, and what ring 3 tells of itself
  SyscallResult on(Here<M> const& here, abi::call::StartApProc const& call) noexcept;
  SyscallResult on(Here<M> const&, abi::call::QueryHob const&) noexcept { return answer(parts_.ring3.hob_list()); }
  /// SecurityViolation: not an address of ring 3.
  SyscallResult on(Here<M> const& here, abi::call::ErrorReportJump const& call) noexcept {
    if (!parts_.space.claim(here, call.address, kPointerBytes, Access::Read)) {
      return refuse(Status::SecurityViolation);
    }
    Status const set = parts_.ring3.set_error_report(raw(call.address));
    return set == Status::Success ? answer(u64{0}) : refuse(set);
  }
  SyscallResult on(Here<M> const& here, abi::call::TraceNote const& call) noexcept {
    here.emit(hal::event::UserNote{call.note, call.first, call.second});
    return answer(here.hears_notes() ? Status::Success : Status::Unsupported);
  }

  static constexpr u64 kPointerBytes = 8;  ///< of ring 3 that a code or data pointer must own

  Status may_access_msr(Here<M> const& here, u64 msr, u16 access) const noexcept {
    Status const good = precondition::msr_number(msr);
    return good != Status::Success ? good : parts_.gate.msr(here, static_cast<u32>(msr), access);
  }
  Status may_access_port(Here<M> const& here, u64 port, abi::IoWidth width, u16 access) const noexcept {
    Status const good = precondition::io_width(width);
    return good != Status::Success ? good : parts_.gate.io(here, port, width, access);
  }
  template <typename F>
  SyscallResult behind(Here<M> const& here, policy::Instruction instruction, F&& execute) const noexcept {
    Status const allowed = parts_.gate.instruction(here, instruction);
    if (allowed == Status::Success) {
      execute();
    }
    return {0, allowed};
  }

  Parts<M>& parts_;
};

/// No memory left is an answer, address 0, and not a refusal: the caller turns it into OUT_OF_RESOURCES.
/// InvalidParameter: no page.
template <hal::Machine M>
SyscallResult SystemCalls<M>::on(Here<M> const& here, abi::call::AllocPage const& call) noexcept {
  if (Status const wrong = precondition::alloc_page(call); wrong != Status::Success) {
    return refuse(wrong);
  }
  auto const at = parts_.space.allocate(here.cpu, call.pages, memory::Owner::User);
  if (!at) {
    return at.error() == Status::OutOfResources ? answer(u64{0}) : refuse(at.error());
  }
  here.emit(hal::event::UserPageAllocated{raw(*at), call.pages});
  return answer(raw(*at));
}

/// SecurityViolation: pages that are not allocated to ring 3, or that the supervisor itself lent to it (buffers, HOB
/// list). InvalidParameter: 0 pages, unaligned, not allocated.
template <hal::Machine M>
SyscallResult SystemCalls<M>::on(Here<M> const& here, abi::call::FreePage const& call) noexcept {
  auto const range = precondition::free_page(call);
  if (!range) {
    return refuse(range.error());
  }
  if (auto const freed = parts_.space.free_user(here, *range); !freed) {
    return refuse(freed.error());
  }
  here.emit(hal::event::UserPageFreed{range->base, call.pages});
  return answer(u64{0});
}

/// SecurityViolation: an address that is not ring 3's; InvalidParameter: one that is not mapped. Timeout: the procedure
/// did not end within kApProcedureUs; nothing can stop ring 3 on another CPU, so that this stops the machine under
/// either fault policy. Aborted: it faulted and was contained; the caller does not go on either, and the user core is
/// told of the fault on this CPU.
template <hal::Machine M>
SyscallResult SystemCalls<M>::on(Here<M> const& here, abi::call::StartApProc const& call) noexcept {
  Processors<M>& processors = parts_.processors;
  if (Status const wrong = precondition::start_ap(call, here.index, processors.count()); wrong != Status::Success) {
    return refuse(wrong);
  }
  here.cpu.speculation_barrier();
  for (UserAddr const address : {call.procedure, call.argument}) {
    if (address != UserAddr{} && !parts_.space.claim(here, address, kPointerBytes, Access::Read)) {
      bool const mapped = parts_.space.tables(here.cpu).query(raw(address)).has_value();
      return refuse(mapped ? Status::SecurityViolation : Status::InvalidParameter);
    }
  }
  u32 const target = static_cast<u32>(call.cpu);
  switch (processors.call(here, target, raw(call.procedure), raw(call.argument))) {
    case ApCall::Ended:
      return answer(Status::Success);
    case ApCall::Busy:
      return refuse(Status::InvalidParameter);
    case ApCall::TimedOut:
      return refuse(Status::Timeout);
    case ApCall::Faulted:
      break;
  }
  here.slot.fault = processors.slot(target).fault;
  return {0, Status::Aborted, true};
}

}  // namespace mm::supervisor
