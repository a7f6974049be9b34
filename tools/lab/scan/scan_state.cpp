// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scan/scan_state.hpp"

#include <fmt/format.h>

namespace mm::lab {

std::optional<i64> slot_of(ZydisDecodedOperand const& operand, State const& state) {
  if (operand.mem.index != ZYDIS_REGISTER_NONE) {
    return std::nullopt;
  }
  auto const base = operand.mem.base == ZYDIS_REGISTER_RSP   ? state.rsp
                    : operand.mem.base == ZYDIS_REGISTER_RBP ? state.rbp
                                                             : std::nullopt;
  return base ? std::optional{*base + operand.mem.disp.value} : std::nullopt;
}

void track_stack(Decoded const& d, State& state) {
  auto const m = d.mnemonic();
  bool const rsp_first = d.in_register(0) && d.operands[0].reg.value == ZYDIS_REGISTER_RSP;
  bool const rbp_first = d.in_register(0) && d.operands[0].reg.value == ZYDIS_REGISTER_RBP;
  bool const immediate = d.operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
  if (m == ZYDIS_MNEMONIC_PUSH || m == ZYDIS_MNEMONIC_POP) {
    state.rsp = state.rsp ? std::optional{*state.rsp + (m == ZYDIS_MNEMONIC_PUSH ? -8 : 8)} : std::nullopt;
    state.rbp = m == ZYDIS_MNEMONIC_POP && rbp_first ? std::nullopt : state.rbp;
  } else if (rsp_first && immediate && (m == ZYDIS_MNEMONIC_SUB || m == ZYDIS_MNEMONIC_ADD)) {
    i64 const by = d.operands[1].imm.value.s;
    state.rsp = state.rsp ? std::optional{*state.rsp + (m == ZYDIS_MNEMONIC_SUB ? -by : by)} : std::nullopt;
  } else if (rsp_first && m != ZYDIS_MNEMONIC_CMP && m != ZYDIS_MNEMONIC_TEST) {
    state.rsp = m == ZYDIS_MNEMONIC_MOV && d.in_register(1) && d.operands[1].reg.value == ZYDIS_REGISTER_RBP
                    ? state.rbp
                    : std::nullopt;
  } else if (rbp_first && m == ZYDIS_MNEMONIC_MOV) {
    state.rbp = d.in_register(1) && d.operands[1].reg.value == ZYDIS_REGISTER_RSP ? state.rsp : std::nullopt;
  } else if (rbp_first && m == ZYDIS_MNEMONIC_LEA) {
    state.rbp = slot_of(d.operands[1], state);
  }
}

void learn_bound(ZydisMnemonic m, State& taken, State& not_taken) {
  if (!taken.compare) {
    return;
  }
  Compare const c = *taken.compare;
  auto const set = [&c](State& state, u32 most) {
    if (c.reg) {
      state.most[*c.reg] = most;
    } else if (c.slot) {
      state.most_of_slot[*c.slot] = most;
    }
  };
  bool const above = m == ZYDIS_MNEMONIC_JNBE || m == ZYDIS_MNEMONIC_JNLE;  // ja, jg: not taken is at most
  bool const from = m == ZYDIS_MNEMONIC_JNB || m == ZYDIS_MNEMONIC_JNL;     // jae, jge: not taken is below
  bool const up_to = m == ZYDIS_MNEMONIC_JBE || m == ZYDIS_MNEMONIC_JLE;    // jbe, jle: taken is at most
  bool const below = m == ZYDIS_MNEMONIC_JB || m == ZYDIS_MNEMONIC_JL;      // jb, jl: taken is below
  if (above || up_to) {
    set(above ? not_taken : taken, c.number);
  } else if ((from || below) && c.number != 0) {
    set(from ? not_taken : taken, c.number - 1);
  }
}

void track_bounds(Decoded const& d, State& state) {
  auto const m = d.mnemonic();
  auto const reg_of = [&d](std::size_t i) { return d.in_register(i) ? gpr(d.operands[i].reg.value) : std::nullopt; };
  auto const slot = [&](std::size_t i) { return d.memory(i) ? slot_of(d.operands[i], state) : std::nullopt; };
  if (m == ZYDIS_MNEMONIC_CMP) {
    auto const& number = d.operands[1].imm.value.u;
    bool const known = d.operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && number <= UINT32_MAX;
    state.compare = known ? std::optional{Compare{reg_of(0), slot(0), static_cast<u32>(number)}} : std::nullopt;
    return;
  }
  bool const copies = m == ZYDIS_MNEMONIC_MOV || m == ZYDIS_MNEMONIC_MOVZX || m == ZYDIS_MNEMONIC_MOVSXD;
  std::optional<u32> bound;
  if (copies && reg_of(1)) {
    bound = state.most[*reg_of(1)];
  } else if (copies && slot(1)) {
    auto const known = state.most_of_slot.find(*slot(1));
    bound = known == state.most_of_slot.end() ? std::nullopt : std::optional{known->second};
  }
  for (std::size_t i = 0; i < d.instruction.operand_count; ++i) {
    if ((d.operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0) {
      continue;
    }
    if (auto const r = reg_of(i)) {
      state.most[*r] = i == 0 ? bound : std::nullopt;
    } else if (auto const s = slot(i)) {
      state.most_of_slot.erase(*s);
      if (bound) {
        state.most_of_slot[*s] = *bound;
      }
    } else if (d.in_register(i) && ZydisRegisterGetClass(d.operands[i].reg.value) == ZYDIS_REGCLASS_FLAGS) {
      state.compare.reset();
    }
  }
}

std::string name_of(Decoded const& d, State const& state) {
  std::string name = ZydisMnemonicGetString(d.mnemonic());
  auto const m = d.mnemonic();
  auto const constant = [&](u8 r) { return state.registers[r].tag == Tag::Constant; };
  if ((m == ZYDIS_MNEMONIC_RDMSR || m == ZYDIS_MNEMONIC_WRMSR) && constant(kRcx)) {
    name += fmt::format(" of MSR {:#x}", state.registers[kRcx].number & 0xFFFF'FFFF);
  } else if (m == ZYDIS_MNEMONIC_IN || m == ZYDIS_MNEMONIC_OUT) {
    auto const& port = d.operands[m == ZYDIS_MNEMONIC_IN ? 1 : 0];
    bool const immediate = port.type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    if (immediate || constant(kRdx)) {
      name += fmt::format(" of port {:#x}", (immediate ? port.imm.value.u : state.registers[kRdx].number) & 0xFFFF);
    }
  } else if (m == ZYDIS_MNEMONIC_MOV && d.in_register(0) && d.in_register(1)) {
    name += fmt::format(" {}, {}", ZydisRegisterGetString(d.operands[0].reg.value),
                        ZydisRegisterGetString(d.operands[1].reg.value));
  }
  return name;
}

}  // namespace mm::lab
