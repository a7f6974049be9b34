// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/supervisor.hpp"

/// System calls (supervisor.md 5.1, 5.2). Numbers below 0x10000 pass the policy gate; the others check ownership.
namespace mm::supervisor {

template <hal::Machine M>
SyscallResult Supervisor<M>::dispatch(Cpu& cpu, u32 index, u64 number, u64 a1, u64 a2, u64 a3) noexcept {
  auto const call = static_cast<abi::Syscall>(number);
  switch (call) {
    case abi::Syscall::AllocPage:
      return alloc_page(cpu, index, a1, a2, a3);
    case abi::Syscall::FreePage:
      return free_page(cpu, index, a1, a2);
    case abi::Syscall::StartApProc:
      return start_ap(cpu, index, a1, a2, a3);
    case abi::Syscall::QueryHob:
      return answer(user_hob_list_.base);
    case abi::Syscall::ErrorReportJump:
      return error_report_jump(cpu, a1);
    case abi::Syscall::SaveStateRead2:
      return save_state_read(cpu, index, a1, a2, a3);
    case abi::Syscall::MmUnblocked:
      return mm_unblocked(cpu, a1, a2);
    case abi::Syscall::MmIsCommBuffer:
      return is_comm_buffer(a1, a2);
    case abi::Syscall::TraceNote:
      emit(index, hal::TraceKind::UserNote, a1, a2, a3);
      return answer(M::kTraced ? Status::Success : Status::Unsupported);
    default:
      return dispatch_legacy(cpu, index, call, a1, a2, a3);
  }
}

template <hal::Machine M>
SyscallResult Supervisor<M>::dispatch_legacy(Cpu& cpu, u32 index, abi::Syscall number, u64 a1, u64 a2,
                                             u64 a3) noexcept {
  Status gate = Status::Success;
  switch (number) {
    case abi::Syscall::RdMsr:
      return msr_access(cpu, index, a1, 0, policy::kRead);
    case abi::Syscall::WrMsr:
      return msr_access(cpu, index, a1, a2, policy::kWrite);
    case abi::Syscall::IoRead:
      return io_access(cpu, index, a1, a2, 0, policy::kRead);
    case abi::Syscall::IoWrite:
      return io_access(cpu, index, a1, a2, a3, policy::kWrite);
    case abi::Syscall::SaveStateRead:
      return save_state_stage(cpu, index, a1, a2, a3);
    case abi::Syscall::Cli:
      gate = gate_instruction(index, policy::Instruction::Cli);
      if (gate == Status::Success) {
        cpu.cli();
      }
      return {0, gate};
    case abi::Syscall::Wbinvd:
      gate = gate_instruction(index, policy::Instruction::Wbinvd);
      if (gate == Status::Success) {
        cpu.wbinvd();
      }
      return {0, gate};
    case abi::Syscall::Hlt:
      gate = gate_instruction(index, policy::Instruction::Hlt);
      if (gate == Status::Success) {
        cpu.hlt();
      }
      return {0, gate};
    default:
      return refuse(Status::InvalidParameter);
  }
}

/// Whether `row` refuses the access, whatever the policy says; null: no row does.
template <hal::Machine M>
bool Supervisor<M>::stands_on(u32 index, policy::Foundation const* row, policy::Type type, u64 what, u16 access,
                              u64 width, u64 config_address) noexcept {
  if (row == nullptr || !enforced(Check::Foundation)) {
    return false;
  }
  emit(index, hal::TraceKind::PolicyRefusal, static_cast<u64>(type), what, access, width, 1, config_address);
  return true;
}

/// AccessDenied: the core, or the policy.
template <hal::Machine M>
Status Supervisor<M>::gate_instruction(u32 index, policy::Instruction instruction) noexcept {
  u16 const number = static_cast<u16>(instruction);
  if (stands_on(index, policy::foundation_of_instruction(number), policy::Type::Instruction, number, policy::kExecute,
                0)) {
    return Status::AccessDenied;
  }
  Status const s = policy::decide_instruction(policy_view(), number);
  if (!enforced(Check::InstructionPolicy)) {
    return Status::Success;
  }
  if (s != Status::Success) {
    emit(index, hal::TraceKind::PolicyRefusal, static_cast<u64>(policy::Type::Instruction), number, policy::kExecute);
  }
  return s;
}

/// InvalidParameter: index beyond 32 bits. AccessDenied: the core, or the policy. Unsupported: the CPU refuses.
template <hal::Machine M>
SyscallResult Supervisor<M>::msr_access(Cpu& cpu, u32 index, u64 msr, u64 value, u16 access) noexcept {
  if (msr > UINT32_MAX) {
    return refuse(Status::InvalidParameter);
  }
  u32 const number = static_cast<u32>(msr);
  if (stands_on(index, policy::foundation_of_msr(number, access), policy::Type::Msr, msr, access, 8)) {
    return refuse(Status::AccessDenied);
  }
  if (Status const s = policy::decide_msr(policy_view(), number, access);
      s != Status::Success && enforced(Check::MsrPolicy)) {
    emit(index, hal::TraceKind::PolicyRefusal, static_cast<u64>(policy::Type::Msr), msr, access, 8);
    return refuse(s);
  }
  if (access == policy::kRead) {
    auto const read = cpu.read_msr(number);
    return read ? answer(*read) : refuse(read.error());
  }
  auto const written = cpu.write_msr(number, value);
  return written ? answer(u64{0}) : refuse(written.error());
}

/// InvalidParameter: width not 0, 1, 2, or a port beyond 64 KiB. AccessDenied: the core, or the policy.
template <hal::Machine M>
SyscallResult Supervisor<M>::io_access(Cpu& cpu, u32 index, u64 port, u64 width, u64 value, u16 access) noexcept {
  if (width > static_cast<u64>(abi::IoWidth::Dword)) {
    return refuse(Status::InvalidParameter);
  }
  auto const io_width = static_cast<abi::IoWidth>(width);
  Status const s = policy::decide_io(policy_view(), port, bytes_of(io_width), access);
  if (s == Status::InvalidParameter) {
    return refuse(s);
  }
  u64 const bytes = bytes_of(io_width);
  u32 const address = policy::reaches_config_data(port, bytes, access)
                          ? cpu.port_in(policy::kPortConfigAddress, abi::IoWidth::Dword)
                          : 0;
  if (stands_on(index, policy::foundation_of_io(port, bytes, access, address), policy::Type::Io, port, access, bytes,
                address)) {
    return refuse(Status::AccessDenied);
  }
  if (s != Status::Success && enforced(Check::IoPolicy)) {
    emit(index, hal::TraceKind::PolicyRefusal, static_cast<u64>(policy::Type::Io), port, access, bytes);
    return refuse(s);
  }
  u16 const number = static_cast<u16>(port);
  if (access == policy::kRead) {
    return answer(u64{cpu.port_in(number, io_width)});
  }
  cpu.port_out(number, io_width, static_cast<u32>(value));
  return answer(u64{0});
}

/// AccessDenied: not the BSP. Unsupported: not AllocateAnyPages, or code pages. InvalidParameter: another memory type,
/// or no page. No memory left is an answer, address 0, and not a refusal: the caller turns it into OUT_OF_RESOURCES.
template <hal::Machine M>
SyscallResult Supervisor<M>::alloc_page(Cpu& cpu, u32 index, u64 alloc_type, u64 memory_type, u64 pages) noexcept {
  constexpr u64 kRuntimeServicesCode = 5;
  constexpr u64 kRuntimeServicesData = 6;
  if (index != bsp_index_) {
    return refuse(Status::AccessDenied);
  }
  if (alloc_type != 0 || memory_type == kRuntimeServicesCode) {
    return refuse(Status::Unsupported);
  }
  if (memory_type != kRuntimeServicesData) {
    return refuse(Status::InvalidParameter);
  }
  auto const at = allocator_.allocate(cpu, PhysAddr{root_}, pages, memory::Owner::User);
  if (!at) {
    return at.error() == Status::OutOfResources ? answer(u64{0}) : refuse(at.error());
  }
  emit(index, hal::TraceKind::UserPageAllocated, raw(*at), pages);
  return answer(raw(*at));
}

/// AccessDenied: not the BSP. SecurityViolation: overflow, pages that are not allocated to ring 3, or that the
/// supervisor itself lent to it (buffers, HOB list). InvalidParameter: 0 pages, unaligned, not allocated.
template <hal::Machine M>
SyscallResult Supervisor<M>::free_page(Cpu& cpu, u32 index, u64 address, u64 pages) noexcept {
  if (index != bsp_index_) {
    return refuse(Status::AccessDenied);
  }
  auto const bytes = checked_mul(pages, kPageSize);
  if (!bytes) {
    return refuse(Status::SecurityViolation);
  }
  Range const range{address, *bytes};
  CommChannel const& user = channel(abi::Channel::User);
  bool const lent = range.overlaps({user.internal, user.bytes}) || range.overlaps({user_page_, kPageSize}) ||
                    range.overlaps(user_hob_list_);
  if (lent && enforced(Check::FreePageOwner)) {
    return refuse(Status::SecurityViolation);
  }
  auto const freed = allocator_.free(cpu, PhysAddr{root_}, address, pages, memory::Owner::User);
  if (!freed) {
    return refuse(freed.error());
  }
  emit(index, hal::TraceKind::UserPageFreed, address, pages);
  return answer(u64{0});
}

/// Accepted once (AlreadyStarted) for an address of ring 3 (SecurityViolation); the pointer is never called.
template <hal::Machine M>
SyscallResult Supervisor<M>::error_report_jump(Cpu& cpu, u64 address) noexcept {
  if (!user_owned(cpu, address, 8)) {
    return refuse(Status::SecurityViolation);
  }
  if (error_report_ != 0) {
    return refuse(Status::AlreadyStarted);
  }
  error_report_ = address;
  return answer(u64{0});
}

/// 1 when the whole range is in one unblocked region and ring 3 owns every page of it, otherwise 0.
template <hal::Machine M>
SyscallResult Supervisor<M>::mm_unblocked(Cpu& cpu, u64 address, u64 size) noexcept {
  auto const range = Range::make(address, size);
  bool const open = range && unblocked_.contains(*range) && user_owned(cpu, address, size);
  return answer(open ? u64{1} : u64{0});
}

/// 1 when the whole range is in ring 3's copy of the user buffer; otherwise SecurityViolation in RAX, not a refusal.
template <hal::Machine M>
SyscallResult Supervisor<M>::is_comm_buffer(u64 address, u64 size) noexcept {
  CommChannel const& user = channel(abi::Channel::User);
  bool const inside = Range{user.internal, user.bytes}.contains({address, size});
  return inside || !enforced(Check::CommBufferQuery) ? answer(u64{1}) : answer(Status::SecurityViolation);
}

}  // namespace mm::supervisor
