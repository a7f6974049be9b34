// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <Zydis/Zydis.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "core/base/types.hpp"

/// What is known of registers and variables on a path through an image.
namespace mm::lab {

using i64 = std::int64_t;

/// What a register or a variable holds, as far as it matters.
enum class Tag : u8 {
  None,
  Table,     ///< second argument of the entry point: EFI_MM_SYSTEM_TABLE or EFI_SYSTEM_TABLE
  Boot,      ///< what stands at 0x60 of it: gBS when it is dereferenced
  Runtime,   ///< at 0x58
  Constant,  ///< a number
  Address,   ///< RVA of a variable or function
};
struct Value {
  Tag tag = Tag::None;
  u64 number = 0;
};
inline bool is_table(Value v) { return v.tag == Tag::Table || v.tag == Tag::Boot || v.tag == Tag::Runtime; }

inline constexpr u8 kRax = 0, kRcx = 1, kRdx = 2;

/// A register or stack slot that was compared with a number.
struct Compare {
  std::optional<u8> reg;
  std::optional<i64> slot;
  u32 number = 0;
};

/// Registers and stack slots on one path.
struct State {
  std::array<Value, 16> registers{};
  std::map<i64, Value> slots;                 ///< by distance from RSP at the function's entry
  std::array<std::optional<u32>, 16> most{};  ///< the highest value that a compare has left to a register
  std::map<i64, u32> most_of_slot;            ///< the same of a stack slot
  std::optional<Compare> compare;             ///< the compare that the flags are of
  std::optional<i64> rsp = 0;
  std::optional<i64> rbp;

  bool interesting() const {
    return std::ranges::any_of(registers, is_table) ||
           std::ranges::any_of(slots, [](auto const& slot) { return is_table(slot.second); });
  }
  void after_call() {
    for (u8 const clobbered : {kRax, kRcx, kRdx, u8{8}, u8{9}, u8{10}, u8{11}}) {
      registers[clobbered] = {};
      most[clobbered].reset();
    }
    compare.reset();
  }
};
struct Path {
  u32 rva = 0;
  State state;
  std::optional<u32> behind_call{};  ///< where the last call returns to, if it does
};

/// 0 to 15 for any part of a general register, nothing for another register.
inline std::optional<u8> gpr(ZydisRegister r) {
  auto const whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
  if (whole < ZYDIS_REGISTER_RAX || whole > ZYDIS_REGISTER_R15) {
    return std::nullopt;
  }
  return static_cast<u8>(whole - ZYDIS_REGISTER_RAX);
}

struct Decoded {
  ZydisDecodedInstruction instruction{};
  std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands{};
  u32 rva = 0;

  ZydisMnemonic mnemonic() const { return instruction.mnemonic; }
  u32 next() const { return rva + instruction.length; }
  /// Target of a direct branch, or RVA that a RIP-relative operand means.
  std::optional<u32> absolute(ZydisDecodedOperand const& operand) const {
    ZyanU64 target = 0;
    if (!ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&instruction, &operand, rva, &target)) || target > UINT32_MAX) {
      return std::nullopt;
    }
    return static_cast<u32>(target);
  }
  bool memory(std::size_t i) const { return operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY; }
  bool in_register(std::size_t i) const { return operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER; }
};

/// Distance from RSP at the function's entry of the stack slot that a memory operand is; nothing for other memory.
std::optional<i64> slot_of(ZydisDecodedOperand const& operand, State const& state);
/// Follows what `d` does to RSP and RBP.
void track_stack(Decoded const& d, State& state);
/// What a conditional branch behind a compare with a number says on either side of it.
void learn_bound(ZydisMnemonic m, State& taken, State& not_taken);
/// Follows what `d` does to the bounds of registers and slots.
void track_bounds(Decoded const& d, State& state);
/// The instruction in words, with the port or the MSR when its number is in the code.
std::string name_of(Decoded const& d, State const& state);

}  // namespace mm::lab
