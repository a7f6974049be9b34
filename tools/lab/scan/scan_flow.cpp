// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <cstdint>

#include "tools/lab/scan/code_scan.hpp"

namespace mm::lab {
namespace {

constexpr u32 kBootServicesPointer = 0x60;     ///< in EFI_SYSTEM_TABLE
constexpr u32 kRuntimeServicesPointer = 0x58;  ///< in EFI_SYSTEM_TABLE
constexpr u32 kSystemTableBytes = 0x78;        ///< a service behind this offset is one of the MMST

}  // namespace

/// Installing a protocol: the GUID that the second argument, and of InstallMultipleProtocolInterfaces the fourth,
/// names.
void CodeScan::note_installed(Tag table, u32 service, State const& state) {
  constexpr u32 kMmInstall = 0xA8, kInstall = 0x80, kInstallMultiple = 0x168;
  bool const installs = (table == Tag::Table && service == kMmInstall) ||
                        (table == Tag::Boot && (service == kInstall || service == kInstallMultiple));
  auto const note = [&](u8 argument) {
    if (state.registers[argument].tag == Tag::Address) {
      facts_.installed.insert(static_cast<u32>(state.registers[argument].number));
    }
  };
  if (installs) {
    note(kRdx);
    if (service == kInstallMultiple) {
      note(9);
    }
  }
}

/// Memory at an address that is in the code: a device, where there is no RAM below 4 GiB.
void CodeScan::note_device(Decoded const& d, State const& state) {
  constexpr u64 kLowest = 0xE000'0000;
  for (std::size_t i = 0; i < d.instruction.operand_count_visible; ++i) {
    if (!d.memory(i) || d.mnemonic() == ZYDIS_MNEMONIC_LEA || d.operands[i].mem.index != ZYDIS_REGISTER_NONE) {
      continue;
    }
    auto const& mem = d.operands[i].mem;
    auto const base = gpr(mem.base);
    bool const fixed = mem.base == ZYDIS_REGISTER_NONE || (base && state.registers[*base].tag == Tag::Constant);
    u64 const address = (base ? state.registers[*base].number : 0) + static_cast<u64>(mem.disp.value);
    if (fixed && mem.segment != ZYDIS_REGISTER_GS && mem.segment != ZYDIS_REGISTER_FS && address >= kLowest &&
        address <= UINT32_MAX) {
      auto const at = bytes_.place(d.rva);
      add(CodeKind::Device, at->first, at->second, d.instruction.length,
          fmt::format("{} of memory at {:#x}", ZydisMnemonicGetString(d.mnemonic()), address));
    }
  }
}

void CodeScan::call(Decoded const& d, State const& state) {
  note_use(d, 0, state);
  auto const target = d.absolute(d.operands[0]);
  if (d.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && target) {
    State callee;
    for (u8 const argument : {kRcx, kRdx, u8{8}, u8{9}}) {
      callee.registers[argument] = state.registers[argument];
    }
    later(*target, std::move(callee));
  }
}

/// The value that a memory operand holds; dereferencing a table is what counts as its use.
Value CodeScan::note_use(Decoded const& d, std::size_t i, State const& state) {
  auto const& operand = d.operands[i];
  if (operand.type != ZYDIS_OPERAND_TYPE_MEMORY) {
    return {};
  }
  if (operand.mem.base == ZYDIS_REGISTER_RIP) {
    auto const target = d.absolute(operand);
    auto const known = target ? globals_.find(*target) : globals_.end();
    return known == globals_.end() ? Value{} : known->second;
  }
  auto const base = gpr(operand.mem.base);
  if (!base || operand.mem.index != ZYDIS_REGISTER_NONE) {
    return {};
  }
  if (auto const slot = slot_of(operand, state)) {
    auto const known = state.slots.find(*slot);
    return known == state.slots.end() ? Value{} : known->second;
  }
  Value const pointer = state.registers[*base];
  i64 const offset = operand.mem.disp.value;
  if (offset < 0 || offset > 0x1000) {
    return {};
  }
  auto const number = static_cast<u32>(offset);
  auto const at = bytes_.place(d.rva);
  u64 const where = bytes_.sections()[at->first].offset + at->second;
  bool const called = d.mnemonic() == ZYDIS_MNEMONIC_CALL || d.mnemonic() == ZYDIS_MNEMONIC_JMP;
  if (called) {
    note_installed(pointer.tag, number, state);
  }
  switch (pointer.tag) {
    case Tag::Boot:
      facts_.boot_services.emplace(number, where);
      return {};
    case Tag::Runtime:
      facts_.runtime_services.emplace(number, where);
      return {};
    case Tag::Address: {
      auto const known = globals_.find(static_cast<u32>(pointer.number + number));
      return known == globals_.end() ? Value{} : known->second;
    }
    case Tag::Table:
      if (called || number >= kSystemTableBytes) {
        facts_.mmst_services.insert(number);
        return {};
      }
      return number == kBootServicesPointer      ? Value{Tag::Boot, 0}
             : number == kRuntimeServicesPointer ? Value{Tag::Runtime, 0}
                                                 : Value{};
    case Tag::None:
    case Tag::Constant:
      break;
  }
  return {};
}

/// Value of a source operand; lea gives addresses.
Value CodeScan::source(Decoded const& d, std::size_t i, State const& state) {
  auto const& operand = d.operands[i];
  switch (operand.type) {
    case ZYDIS_OPERAND_TYPE_REGISTER: {
      auto const r = gpr(operand.reg.value);
      return r ? state.registers[*r] : Value{};
    }
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
      return {Tag::Constant, operand.imm.value.u};
    case ZYDIS_OPERAND_TYPE_MEMORY:
      if (d.mnemonic() != ZYDIS_MNEMONIC_LEA) {
        return note_use(d, i, state);
      }
      if (auto const target = d.absolute(operand); target && operand.mem.base == ZYDIS_REGISTER_RIP) {
        add_root(*target);
        return {Tag::Address, *target};
      }
      return {};
    default:
      return {};
  }
}

void CodeScan::move(Decoded const& d, State& state) {
  auto const m = d.mnemonic();
  bool const copies = m == ZYDIS_MNEMONIC_MOV || m == ZYDIS_MNEMONIC_LEA || m == ZYDIS_MNEMONIC_MOVZX;
  bool const zeroes = m == ZYDIS_MNEMONIC_XOR && d.in_register(0) && d.in_register(1) &&
                      d.operands[0].reg.value == d.operands[1].reg.value;
  Value value = copies ? source(d, 1, state) : zeroes ? Value{Tag::Constant, 0} : Value{};
  if (!copies) {
    for (std::size_t i = 0; i < d.instruction.operand_count_visible; ++i) {
      note_use(d, i, state);
    }
  }
  note_device(d, state);
  if (m == ZYDIS_MNEMONIC_MOVSXD || m == ZYDIS_MNEMONIC_MOV) {
    jump_table(d, state);
  }
  track_bounds(d, state);
  track_stack(d, state);
  if (m == ZYDIS_MNEMONIC_PUSH && state.rsp) {
    state.slots[*state.rsp] = source(d, 0, state);
    return;
  }
  if (copies && d.memory(0)) {
    store(d, value, state);
    return;
  }
  for (std::size_t i = 0; i < d.instruction.operand_count; ++i) {
    if (d.in_register(i) && (d.operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0) {
      if (auto const r = gpr(d.operands[i].reg.value)) {
        bool const target = i == 0 && (copies || zeroes) && d.operands[0].size >= 16;
        state.registers[*r] = target ? value : Value{};
      }
    }
  }
}

/// A switch: entries of four bytes, each a distance from the register that the table is found by. It has as many as
/// the compare before it lets through; where none is known it ends at the next thing that instructions name, at code
/// that was walked, and where an entry leads to no code.
void CodeScan::jump_table(Decoded const& d, State const& state) {
  constexpr u32 kMostEntries = 512;
  auto const& operand = d.operands[1];
  auto const base = d.memory(1) ? gpr(operand.mem.base) : std::nullopt;
  auto const index = d.memory(1) ? gpr(operand.mem.index) : std::nullopt;
  if (!base || !index || operand.mem.scale != 4 || state.registers[*base].tag != Tag::Address) {
    return;
  }
  auto const most = state.most[*index];
  u64 const origin = state.registers[*base].number;
  u64 const table = origin + static_cast<u64>(operand.mem.disp.value);
  tables_.insert(static_cast<u32>(table));
  for (u32 i = 0; i < kMostEntries && (!most || i <= *most); ++i) {
    u64 const at = table + u64{i} * 4;
    auto const entry = bytes_.word_at(at);
    u64 const target = origin + (entry ? static_cast<u64>(static_cast<i64>(static_cast<std::int32_t>(*entry))) : 0);
    bool const past = !most && i != 0 && is_something_else(static_cast<u32>(at));
    if (!entry || past || target > UINT32_MAX || !bytes_.plausible(static_cast<u32>(target))) {
      return;
    }
    later(static_cast<u32>(target), state);
  }
}

bool CodeScan::is_something_else(u32 rva) const {
  auto const at = bytes_.place(rva);
  return bytes_.is_start(rva) || (at && covered_[at->first][at->second] != 0);
}

void CodeScan::store(Decoded const& d, Value value, State& state) {
  auto const& operand = d.operands[0];
  if (auto const slot = slot_of(operand, state)) {
    state.slots[*slot] = value;
    return;
  }
  auto const base = gpr(operand.mem.base);
  std::optional<u32> variable;
  if (operand.mem.base == ZYDIS_REGISTER_RIP) {
    variable = d.absolute(operand);
  } else if (base && operand.mem.index == ZYDIS_REGISTER_NONE && state.registers[*base].tag == Tag::Address) {
    variable = static_cast<u32>(state.registers[*base].number + static_cast<u64>(operand.mem.disp.value));
  }
  if (variable && is_table(value)) {
    globals_[*variable] = value;
  }
}

}  // namespace mm::lab
