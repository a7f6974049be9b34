// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/address_space.hpp"
#include "core/supervisor/gate.hpp"
#include "core/supervisor/processors.hpp"
#include "core/supervisor/save_state.hpp"

namespace mm::supervisor {

/// Save-state reads in two phases (core/abi/ABI.md 9): the first names CPU and register, the second fetches the value.
template <hal::Machine M>
class SaveStateReads {
 public:
  using Cpu = typename M::Cpu;

  /// Phase 1. Errors of precondition::save_state_read().
  SyscallResult stage(Here<M> const& here, Processors<M> const& processors,
                      abi::call::SaveStateRead const& call) noexcept {
    Status const wrong = precondition::save_state_read(call, save_state::kRegProcessorId, processors.count());
    if (wrong != Status::Success) {
      return refuse(wrong);
    }
    here.cpu.speculation_barrier();
    holder_ = {call.token, call.reg, static_cast<u32>(call.cpu), here.index, true};
    return answer(Status::Success);
  }

  /// Phase 2. Refused: no token (InvalidParameter), a buffer that is not ring 3's to write (SecurityViolation). In RAX:
  /// what precondition::save_state_read2() says, AccessDenied by policy, NotFound without an I/O trap or for a register
  /// that the save state does not hold, InvalidParameter for a width beyond the register, or other than the one that a
  /// special register has (PI 1.8 vol. 4, 4.3).
  SyscallResult read(Here<M> const& here, Processors<M> const& processors, AddressSpace<M> const& space,
                     Gate<M> const& gate, abi::call::SaveStateRead2 const& call) noexcept {
    SaveStateHolder const holder = holder_;
    holder_.valid = false;
    if (call.token == 0) {
      return refuse(Status::InvalidParameter);
    }
    if (Status const wrong = precondition::save_state_read2(call, holder, here.index); wrong != Status::Success) {
      return answer(wrong);
    }
    auto const buffer = space.claim(here, call.buffer, call.width, Access::Write);
    if (!buffer) {
      return refuse(Status::SecurityViolation);
    }
    auto const done = copy(here, gate, processors.slot(holder.cpu), holder.reg, *buffer);
    return answer(done ? Status::Success : done.error());
  }

 private:
  using Io = save_state::IoRecord;

  static Expected<void> permit(Here<M> const& here, Gate<M> const& gate, policy::SaveStateField field,
                               policy::IoTrap trap) noexcept {
    Status const verdict = gate.save_state(here, field, trap);
    return verdict == Status::Success ? Expected<void>{} : std::unexpected(verdict);
  }
  /// The first bytes of one register, as many as `buffer` has, or the I/O record.
  static Expected<void> copy(Here<M> const& here, Gate<M> const& gate, CpuSlot const& target, u64 reg,
                             UserRange const& buffer) noexcept {
    if (reg == save_state::kRegIo) {
      return copy_io(here, gate, target, buffer);
    }
    MM_TRY_ASSIGN(u64 const value, value_of(here, gate, target, reg, buffer.bytes()));
    buffer.write(here.cpu, std::as_bytes(std::span(&value, 1)).first(buffer.bytes()));
    return {};
  }
  static Expected<u64> value_of(Here<M> const& here, Gate<M> const& gate, CpuSlot const& target, u64 reg,
                                u64 width) noexcept;
  static Expected<u64> register_of(Here<M> const& here, Gate<M> const& gate, CpuSlot const& target, u64 reg,
                                   u64 width) noexcept;
  static Expected<void> copy_io(Here<M> const& here, Gate<M> const& gate, CpuSlot const& target,
                                UserRange const& buffer) noexcept;

  SaveStateHolder holder_;
};

template <hal::Machine M>
Expected<u64> SaveStateReads<M>::value_of(Here<M> const& here, Gate<M> const& gate, CpuSlot const& target, u64 reg,
                                          u64 width) noexcept {
  if (reg == save_state::kRegProcessorId) {
    if (width != 8) {
      return std::unexpected(Status::InvalidParameter);
    }
    return target.apic_id;
  }
  if (reg == save_state::kRegLma) {
    MM_TRY(permit(here, gate, policy::SaveStateField::Other, policy::IoTrap::None));
    if (width != 1) {
      return std::unexpected(Status::InvalidParameter);
    }
    return save_state::Reader<Cpu>(here.cpu, target.smbase).long_mode() ? 64 : 32;
  }
  return register_of(here, gate, target, reg, width);
}

/// The policy's field RAX is the data of the trapped I/O: what a wider read has beyond it is, as every other register,
/// without a field.
template <hal::Machine M>
Expected<u64> SaveStateReads<M>::register_of(Here<M> const& here, Gate<M> const& gate, CpuSlot const& target, u64 reg,
                                             u64 width) noexcept {
  save_state::Reader<Cpu> reader(here.cpu, target.smbase);
  Io const io = reader.io();
  bool const is_rax = reg == save_state::kRegRax;
  if (is_rax && !io.valid) {
    return std::unexpected(Status::NotFound);
  }
  auto const trap = save_state::trap_of(io);
  MM_TRY(permit(here, gate, is_rax ? policy::SaveStateField::Rax : policy::SaveStateField::Other, trap));
  if (is_rax && width > io.bytes()) {
    MM_TRY(permit(here, gate, policy::SaveStateField::Other, trap));
  }
  MM_TRY_ASSIGN(auto const found, reader.find(reg));
  if (width > found.bytes) {
    return std::unexpected(Status::InvalidParameter);
  }
  u64 value = 0;
  here.cpu.read(PhysAddr{target.smbase + save_state::kOffset + found.offset},
                std::as_writable_bytes(std::span(&value, 1)).first(width));
  return value;
}

/// EFI_MM_SAVE_STATE_IO_INFO. Both the record and the data (RAX) must be permitted.
template <hal::Machine M>
Expected<void> SaveStateReads<M>::copy_io(Here<M> const& here, Gate<M> const& gate, CpuSlot const& target,
                                          UserRange const& buffer) noexcept {
  if (buffer.bytes() < save_state::kIoInfoBytes) {
    return std::unexpected(Status::InvalidParameter);
  }
  save_state::Reader<Cpu> reader(here.cpu, target.smbase);
  Io const io = reader.io();
  if (!io.valid) {
    return std::unexpected(Status::NotFound);
  }
  MM_TRY(permit(here, gate, policy::SaveStateField::IoTrap, save_state::trap_of(io)));
  MM_TRY(permit(here, gate, policy::SaveStateField::Rax, save_state::trap_of(io)));
  struct {
    u64 data;
    u16 port;
    u16 pad0 = 0;
    u32 width;
    u32 type;
    u32 pad1 = 0;
  } info{reader.rax() & (UINT64_MAX >> (64 - 8 * io.bytes())), io.port, 0, io.width, io.in ? 1u : 2u, 0};
  static_assert(sizeof(info) == save_state::kIoInfoBytes);
  buffer.write(here.cpu, std::as_bytes(std::span(&info, 1)));
  return {};
}

}  // namespace mm::supervisor
