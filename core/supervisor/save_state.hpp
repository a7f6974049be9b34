// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/supervisor/supervisor.hpp"

/// Save-state reads in two phases (supervisor.md 5.3), for the AMD64 and the Intel layout; the machine's revision word
/// decides.
namespace mm::supervisor {

namespace save_state {

inline constexpr u64 kOffset = 0xFC00;  ///< from SMBASE
inline constexpr u64 kRegRax = 38;
inline constexpr u64 kRegIo = 512;
inline constexpr u64 kRegLma = 513;
inline constexpr u64 kRegProcessorId = 514;
inline constexpr u64 kIoInfoBytes = 24;

/// Offsets from the save-state base; 0 bytes: the layout does not record the register.
struct Register {
  u16 number;
  u16 amd;
  u8 amd_bytes;
  u16 intel;
  u8 intel_bytes;
};
inline constexpr Register kRegisters[] = {
    {4, 0x268, 8, 0, 0},      {5, 0x288, 8, 0, 0},      {6, 0x278, 8, 0, 0},      {7, 0x264, 2, 0, 0},
    {8, 0x284, 2, 0, 0},      {9, 0x274, 4, 0, 0},      {20, 0x200, 2, 0x3A8, 4}, {21, 0x210, 2, 0x3AC, 4},
    {22, 0x220, 2, 0x3B0, 4}, {23, 0x230, 2, 0x3B4, 4}, {24, 0x240, 2, 0x3B8, 4}, {25, 0x250, 2, 0x3BC, 4},
    {26, 0x270, 2, 0x3C0, 4}, {27, 0x290, 2, 0x3C4, 4}, {28, 0x360, 8, 0x3C8, 8}, {29, 0x368, 8, 0x3D0, 8},
    {30, 0x3B8, 8, 0x354, 8}, {31, 0x3B0, 8, 0x34C, 8}, {32, 0x3A8, 8, 0x344, 8}, {33, 0x3A0, 8, 0x33C, 8},
    {34, 0x398, 8, 0x334, 8}, {35, 0x390, 8, 0x32C, 8}, {36, 0x388, 8, 0x324, 8}, {37, 0x380, 8, 0x31C, 8},
    {38, 0x3F8, 8, 0x35C, 8}, {39, 0x3E0, 8, 0x374, 8}, {40, 0x3F0, 8, 0x364, 8}, {41, 0x3E8, 8, 0x36C, 8},
    {42, 0x3D8, 8, 0x37C, 8}, {43, 0x3D0, 8, 0x384, 8}, {44, 0x3C8, 8, 0x38C, 8}, {45, 0x3C0, 8, 0x394, 8},
    {46, 0x378, 8, 0x3D8, 8}, {51, 0x370, 8, 0x3E8, 8}, {52, 0x358, 8, 0x3F8, 8}, {53, 0x350, 8, 0x3F0, 8},
    {54, 0x348, 8, 0x240, 4},
};

/// The I/O instruction that raised the MMI of one CPU.
struct IoRecord {
  bool valid = false;
  bool in = false;
  u16 port = 0;
  u32 width = 0;  ///< 0/1/2 = 1/2/4 bytes
  u64 bytes() const noexcept { return u64{1} << width; }
};
/// A string instruction moves memory, not RAX: no record, as in the Intel layout.
constexpr IoRecord decode_amd(u32 word) noexcept {
  constexpr u32 kValid = 2, kString = 4, kRep = 8;
  if ((word & kValid) == 0 || (word & (kString | kRep)) != 0) {
    return {};
  }
  u32 const width = (word & 0x10) != 0 ? 0 : (word & 0x20) != 0 ? 1 : 2;
  return {true, (word & 1) != 0, static_cast<u16>(word >> 16), width};
}
constexpr IoRecord decode_intel(u32 word) noexcept {
  u32 const length = word >> 1 & 7;
  u32 const type = word >> 4 & 15;
  bool const simple = type == 0 || type == 1 || type == 8 || type == 9;
  if ((word & 1) == 0 || !simple || (length != 1 && length != 2 && length != 4)) {
    return {};
  }
  return {true, (type & 1) != 0, static_cast<u16>(word >> 16), length >> 1};
}
constexpr policy::IoTrap trap_of(IoRecord io) noexcept {
  return !io.valid ? policy::IoTrap::None : io.in ? policy::IoTrap::Read : policy::IoTrap::Write;
}

/// Reads the save state of the CPU with this SMBASE.
template <hal::PhysMemory Mem>
class Reader {
 public:
  Reader(Mem& memory, u64 smbase) noexcept : memory_(memory), base_(smbase + kOffset) {
    amd_ = (get<u32>(0x2FC) & 0xFFFF) == 0x0064;
  }
  template <typename T>
  T get(u64 offset) noexcept {
    return hal::read_object<T>(memory_, PhysAddr{base_ + offset});
  }
  IoRecord io() noexcept { return amd_ ? decode_amd(get<u32>(0x2C0)) : decode_intel(get<u32>(0x3A4)); }
  u64 rax() noexcept { return get<u64>(amd_ ? 0x3F8 : 0x35C); }
  bool long_mode() noexcept { return amd_ || (get<u64>(0x3E0) >> 10 & 1) != 0; }
  /// Offset and native bytes; NotFound when the layout does not record the register.
  Expected<Register> find(u64 number) const noexcept {
    for (Register const& r : kRegisters) {
      if (r.number == number && (amd_ ? r.amd_bytes : r.intel_bytes) != 0) {
        return Register{r.number, amd_ ? r.amd : r.intel, amd_ ? r.amd_bytes : r.intel_bytes, 0, 0};
      }
    }
    return std::unexpected(Status::NotFound);
  }

 private:
  Mem& memory_;
  u64 base_;
  bool amd_ = false;
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
    if (width > found.amd_bytes) {
      return std::unexpected(Status::InvalidParameter);
    }
    cpu.read(PhysAddr{slots_[target].smbase + save_state::kOffset + found.amd},
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
