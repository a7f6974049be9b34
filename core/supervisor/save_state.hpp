// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/arch/msr.hpp"
#include "core/arch/save_state.hpp"
#include "core/supervisor/supervisor.hpp"

/// Save-state reads in two phases (supervisor.md 5.3), for the AMD64 and the Intel layout; the machine's revision word
/// decides.
namespace mm::supervisor {

namespace save_state {

using namespace arch::save_state;

inline constexpr u64 kRegRax = static_cast<u64>(Register::Rax);
inline constexpr u64 kRegIo = static_cast<u64>(Register::Io);
inline constexpr u64 kRegLma = static_cast<u64>(Register::Lma);
inline constexpr u64 kRegProcessorId = static_cast<u64>(Register::ProcessorId);
inline constexpr u64 kIoInfoBytes = 24;

constexpr policy::IoTrap trap_of(IoRecord io) noexcept {
  return !io.valid ? policy::IoTrap::None : io.in ? policy::IoTrap::Read : policy::IoTrap::Write;
}

/// Reads the save state of the CPU with this SMBASE.
template <hal::PhysMemory Mem>
class Reader {
 public:
  Reader(Mem& memory, u64 smbase) noexcept : memory_(memory), base_(smbase + kOffset) {
    layout_ = layout_of(get<u32>(kRevision));
  }
  template <typename T>
  T get(Place at) noexcept {
    return hal::read_object<T>(memory_, PhysAddr{base_ + at.offset});
  }
  IoRecord io() noexcept {
    u32 const word = get<u32>(control(layout_).io);
    return layout_ == Layout::Amd64 ? amd_io(word) : intel_io(word);
  }
  u64 rax() noexcept { return get<u64>(place(Register::Rax, layout_)); }
  bool long_mode() noexcept { return layout_ == Layout::Amd64 || (get<u64>(kIntelControl.efer) & arch::kEferLma) != 0; }
  /// Offset and native bytes; NotFound when the layout does not record the register.
  Expected<Place> find(u64 number) const noexcept {
    Place const found = arch::save_state::find(number, layout_);
    return found.bytes != 0 ? Expected<Place>(found) : std::unexpected(Status::NotFound);
  }

 private:
  Mem& memory_;
  u64 base_;
  Layout layout_{};
};

}  // namespace save_state

/// Phase 1. InvalidParameter: no token, register above 514, no such CPU.
template <hal::Machine M>
SyscallResult Supervisor<M>::save_state_stage(Cpu& cpu, u32 index, u64 token, u64 reg, u64 target) noexcept {
  if (token == 0 || reg > save_state::kRegProcessorId || target >= cpu_count_) {
    return refuse(Status::InvalidParameter);
  }
  cpu.speculation_barrier();
  holder_ = {token, reg, static_cast<u32>(target), index, true};
  return answer(Status::Success);
}

/// Phase 2. Refused: no token (InvalidParameter), a buffer that is not ring 3's to write (SecurityViolation). In RAX:
/// NotStarted without phase 1 or with another token, AccessDenied from another CPU or by policy, NotFound without an
/// I/O trap or for a register that the save state does not hold, InvalidParameter for a width of 0, beyond the
/// register, or other than the one that a special register has (PI 1.8 vol. 4, 4.3).
template <hal::Machine M>
SyscallResult Supervisor<M>::save_state_read(Cpu& cpu, u32 index, u64 token, u64 width, u64 buffer) noexcept {
  SaveStateHolder const holder = holder_;
  holder_.valid = false;
  if (token == 0) {
    return refuse(Status::InvalidParameter);
  }
  if (!holder.valid || (holder.caller == index && holder.token != token)) {
    return answer(Status::NotStarted);
  }
  if (holder.caller != index) {
    return answer(Status::AccessDenied);
  }
  if (width == 0) {
    return answer(Status::InvalidParameter);
  }
  if (!user_owned(cpu, buffer, width, true)) {
    return refuse(Status::SecurityViolation);
  }
  auto const done = save_state_copy(cpu, index, holder.reg, holder.cpu, width, buffer);
  return answer(done ? Status::Success : done.error());
}

template <hal::Machine M>
Expected<void> Supervisor<M>::gate_save_state(u32 index, policy::SaveStateField field, policy::IoTrap trap) noexcept {
  if (Status const s = policy::decide_save_state(policy_view(), field, trap); s != Status::Success) {
    emit(index, hal::TraceKind::PolicyRefusal, static_cast<u64>(policy::Type::SaveState), static_cast<u64>(field),
         policy::kRead);
    return std::unexpected(s);
  }
  return {};
}

/// The first 1 to 8 bytes of one register, or the I/O record. The policy's field RAX is the data of the trapped I/O:
/// what a wider read has beyond it is, as every other register, without a field.
template <hal::Machine M>
Expected<void> Supervisor<M>::save_state_copy(Cpu& cpu, u32 index, u64 reg, u32 target, u64 width,
                                              u64 buffer) noexcept {
  save_state::Reader<Cpu> reader(cpu, slots_[target].smbase);
  u64 value = 0;
  if (reg == save_state::kRegProcessorId) {
    if (width != 8) {
      return std::unexpected(Status::InvalidParameter);
    }
    value = slots_[target].apic_id;
  } else if (reg == save_state::kRegIo) {
    return save_state_io(cpu, index, target, width, buffer);
  } else if (reg == save_state::kRegLma) {
    MM_TRY(gate_save_state(index, policy::SaveStateField::Other, policy::IoTrap::None));
    if (width != 1) {
      return std::unexpected(Status::InvalidParameter);
    }
    value = reader.long_mode() ? 64 : 32;
  } else {
    auto const field = reg == save_state::kRegRax ? policy::SaveStateField::Rax : policy::SaveStateField::Other;
    auto const io = reader.io();
    if (field == policy::SaveStateField::Rax && !io.valid) {
      return std::unexpected(Status::NotFound);
    }
    MM_TRY(gate_save_state(index, field, save_state::trap_of(io)));
    if (field == policy::SaveStateField::Rax && width > io.bytes()) {
      MM_TRY(gate_save_state(index, policy::SaveStateField::Other, save_state::trap_of(io)));
    }
    MM_TRY_ASSIGN(auto const found, reader.find(reg));
    if (width > found.bytes) {
      return std::unexpected(Status::InvalidParameter);
    }
    cpu.read(PhysAddr{slots_[target].smbase + save_state::kOffset + found.offset},
             std::as_writable_bytes(std::span(&value, 1)).first(width));
  }
  hal::UserAccess access(cpu);
  cpu.write(PhysAddr{buffer}, std::as_bytes(std::span(&value, 1)).first(width));
  return {};
}

/// EFI_MM_SAVE_STATE_IO_INFO. Both the record and the data (RAX) must be permitted.
template <hal::Machine M>
Expected<void> Supervisor<M>::save_state_io(Cpu& cpu, u32 index, u32 target, u64 width, u64 buffer) noexcept {
  if (width < save_state::kIoInfoBytes) {
    return std::unexpected(Status::InvalidParameter);
  }
  save_state::Reader<Cpu> reader(cpu, slots_[target].smbase);
  auto const io = reader.io();
  if (!io.valid) {
    return std::unexpected(Status::NotFound);
  }
  MM_TRY(gate_save_state(index, policy::SaveStateField::IoTrap, save_state::trap_of(io)));
  MM_TRY(gate_save_state(index, policy::SaveStateField::Rax, save_state::trap_of(io)));
  struct {
    u64 data;
    u16 port;
    u16 pad0 = 0;
    u32 width;
    u32 type;
    u32 pad1 = 0;
  } info{reader.rax() & (UINT64_MAX >> (64 - 8 * io.bytes())), io.port, 0, io.width, io.in ? 1u : 2u, 0};
  static_assert(sizeof(info) == save_state::kIoInfoBytes);
  hal::UserAccess access(cpu);
  hal::write_object(cpu, PhysAddr{buffer}, info);
  return {};
}

}  // namespace mm::supervisor
