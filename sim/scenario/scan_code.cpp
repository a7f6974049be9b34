// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/scenario/scan_code.hpp"

#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <string_view>
#include <utility>

#include "sim/scenario/bytes.hpp"
#include "sim/scenario/code_kind.hpp"

namespace mm::scenario {
namespace {

using i64 = std::int64_t;

constexpr u32 kBootServicesPointer = 0x60;     ///< in EFI_SYSTEM_TABLE
constexpr u32 kRuntimeServicesPointer = 0x58;  ///< in EFI_SYSTEM_TABLE
constexpr u32 kSystemTableBytes = 0x78;        ///< a service behind this offset is one of the MMST
constexpr u64 kMostSteps = 8'000'000;
constexpr u8 kMostVisits = 3;  ///< of one instruction, with different values in registers

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
bool is_table(Value v) { return v.tag == Tag::Table || v.tag == Tag::Boot || v.tag == Tag::Runtime; }

constexpr u8 kRax = 0, kRcx = 1, kRdx = 2;

/// Registers and stack slots on one path.
struct State {
  std::array<Value, 16> registers{};
  std::map<i64, Value> slots;  ///< by distance from RSP at the function's entry
  std::optional<i64> rsp = 0;
  std::optional<i64> rbp;

  bool interesting() const {
    return std::ranges::any_of(registers, is_table) ||
           std::ranges::any_of(slots, [](auto const& slot) { return is_table(slot.second); });
  }
  void after_call() {
    for (u8 const clobbered : {kRax, kRcx, kRdx, u8{8}, u8{9}, u8{10}, u8{11}}) {
      registers[clobbered] = {};
    }
  }
};
struct Path {
  u32 rva = 0;
  State state;
};

/// 0 to 15 for any part of a general register, nothing for another register.
std::optional<u8> gpr(ZydisRegister r) {
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

class CodeScan {
 public:
  CodeScan(std::vector<CodeSection> const& code, std::vector<CodeSection> const& all) : code_(code), all_(all) {
    ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (auto const& section : code_) {
      visits_.emplace_back(section.bytes.size());
      covered_.emplace_back(section.bytes.size());
    }
  }

  /// Follows every path; again while that has shown new variables that hold a table.
  void follow(u32 entry, std::vector<u32> const& roots) {
    constexpr int kMostPasses = 3;
    std::size_t known = 1;
    for (int pass = 0; pass < kMostPasses && known != globals_.size(); ++pass) {
      known = globals_.size();
      for (auto& visits : visits_) {
        std::ranges::fill(visits, u8{0});
      }
      State start;
      start.registers[kRdx] = {Tag::Table, 0};
      pending_ = {{entry, start}};
      at_start_ = true;
      walk_pending();
      at_start_ = false;
      for (u32 const root : roots) {
        add_root(root);
      }
      do {
        pending_.swap(behind_pointers_);
        walk_pending();
      } while (!behind_pointers_.empty());
    }
  }

  /// Bytes that no path reached: only what is unlikely to be data.
  void sweep() {
    for (std::size_t s = 0; s < code_.size(); ++s) {
      auto const bytes = code_[s].bytes;
      for (std::size_t at = 0; at < bytes.size();) {
        Decoded d;
        if (covered_[s][at] != 0 || !decode(s, at, d)) {
          ++at;
          continue;
        }
        bool const two_bytes = d.instruction.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT;
        auto const kind = code_kind(d.instruction);
        if (kind && two_bytes && *kind != CodeKind::Rsm && *kind != CodeKind::Umip) {
          add(CodeKind::Unreached, s, at, d.instruction.length, name_of(d, {}));
        }
        at += d.instruction.length;
      }
      for (std::size_t at = 0; at + 1 < bytes.size(); ++at) {
        bool const pair = bytes[at] == std::byte{0x0F} && bytes[at + 1] == std::byte{0xAA};
        if (pair && !found_.contains({CodeKind::Rsm, code_[s].rva + static_cast<u32>(at)})) {
          add(CodeKind::RsmBytes, s, at, 2, "0F AA");
        }
      }
    }
  }

  CodeFacts take() {
    std::ranges::sort(facts_.findings, {}, [](CodeFinding const& f) { return std::pair{f.offset, f.kind}; });
    return std::move(facts_);
  }

 private:
  std::optional<std::pair<std::size_t, std::size_t>> place(u32 rva) const {
    for (std::size_t s = 0; s < code_.size(); ++s) {
      if (rva >= code_[s].rva && rva - code_[s].rva < code_[s].bytes.size()) {
        return std::pair{s, static_cast<std::size_t>(rva - code_[s].rva)};
      }
    }
    return std::nullopt;
  }

  bool decode(std::size_t section, std::size_t at, Decoded& d) {
    auto const bytes = code_[section].bytes;
    d.rva = code_[section].rva + static_cast<u32>(at);
    last_status_ =
        ZydisDecoderDecodeFull(&decoder_, bytes.data() + at, bytes.size() - at, &d.instruction, d.operands.data());
    return ZYAN_SUCCESS(last_status_);
  }

  void add(CodeKind kind, std::size_t section, std::size_t at, u32 bytes, std::string text) {
    u32 const rva = code_[section].rva + static_cast<u32>(at);
    if (found_.insert({kind, rva}).second) {
      facts_.findings.push_back({kind, rva, code_[section].offset + at, bytes, std::move(text), at_start_});
    }
  }

  /// Code that only a pointer leads to. Compilers put read-only data among the code: it must look like code.
  void add_root(u32 rva) {
    if (plausible(rva)) {
      behind_pointers_.push_back({rva, State{}});
    }
  }
  bool plausible(u32 rva) {
    constexpr int kMost = 2048;
    auto const at = place(rva);
    if (!at) {
      return false;
    }
    auto [section, offset] = *at;
    for (int i = 0; i < kMost && offset < code_[section].bytes.size(); ++i) {
      Decoded d;
      if (!decode(section, offset, d)) {
        return false;
      }
      bool const zeros = code_[section].bytes[offset] == std::byte{0} && d.mnemonic() == ZYDIS_MNEMONIC_ADD;
      bool const letters = is_string_io(d.mnemonic()) && (d.instruction.attributes & ZYDIS_ATTRIB_HAS_REP) == 0;
      if (zeros || letters) {
        return false;
      }
      if (d.mnemonic() == ZYDIS_MNEMONIC_RET || d.mnemonic() == ZYDIS_MNEMONIC_JMP ||
          d.mnemonic() == ZYDIS_MNEMONIC_UD2) {
        return true;
      }
      offset += d.instruction.length;
    }
    return false;
  }

  void walk_pending() {
    while (!pending_.empty()) {
      Path path = std::move(pending_.front());
      pending_.pop_front();
      walk(path);
    }
  }

  void walk(Path& path) {
    for (;;) {
      auto const at = place(path.rva);
      if (!at || ++steps_ > kMostSteps) {
        facts_.complete = facts_.complete && steps_ <= kMostSteps;
        return;
      }
      auto const [section, offset] = *at;
      u8& visits = visits_[section][offset];
      if (visits == kMostVisits || (visits != 0 && !path.state.interesting())) {
        return;
      }
      ++visits;
      Decoded d;
      if (!decode(section, offset, d)) {
        if (last_status_ == ZYDIS_STATUS_ILLEGAL_LOCK) {
          add(CodeKind::LockForm, section, offset, 1, "LOCK before an instruction that does not take it");
        }
        return;
      }
      std::fill_n(covered_[section].begin() + static_cast<std::ptrdiff_t>(offset), d.instruction.length, u8{1});
      if (auto const kind = code_kind(d.instruction)) {
        add(*kind, section, offset, d.instruction.length, name_of(d, path.state));
      }
      if (!step(d, path)) {
        return;
      }
    }
  }

  /// One instruction; false: the path ends.
  bool step(Decoded const& d, Path& path) {
    path.rva = d.next();
    switch (d.mnemonic()) {
      case ZYDIS_MNEMONIC_RET:
      case ZYDIS_MNEMONIC_IRETQ:
      case ZYDIS_MNEMONIC_UD2:
      case ZYDIS_MNEMONIC_RSM:
        return false;
      case ZYDIS_MNEMONIC_JMP: {
        note_use(d, 0, path.state);
        auto const target = d.absolute(d.operands[0]);
        path.rva = target.value_or(0);
        return d.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && target.has_value();
      }
      case ZYDIS_MNEMONIC_CALL:
        call(d, path.state);
        path.state.after_call();
        return true;
      default:
        break;
    }
    if (d.instruction.meta.category == ZYDIS_CATEGORY_COND_BR) {
      if (auto const target = d.absolute(d.operands[0])) {
        pending_.push_back({*target, path.state});
      }
      return true;
    }
    move(d, path.state);
    return true;
  }

  void call(Decoded const& d, State const& state) {
    note_use(d, 0, state);
    auto const target = d.absolute(d.operands[0]);
    if (d.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && target) {
      State callee;
      for (u8 const argument : {kRcx, kRdx, u8{8}, u8{9}}) {
        callee.registers[argument] = state.registers[argument];
      }
      pending_.push_back({*target, std::move(callee)});
    }
  }

  /// The value that a memory operand holds; dereferencing a table is what counts as its use.
  Value note_use(Decoded const& d, std::size_t i, State const& state) {
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
    auto const at = place(d.rva);
    u64 const where = code_[at->first].offset + at->second;
    bool const called = d.mnemonic() == ZYDIS_MNEMONIC_CALL || d.mnemonic() == ZYDIS_MNEMONIC_JMP;
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
      default:
        return {};
    }
  }

  static std::optional<i64> slot_of(ZydisDecodedOperand const& operand, State const& state) {
    if (operand.mem.index != ZYDIS_REGISTER_NONE) {
      return std::nullopt;
    }
    auto const base = operand.mem.base == ZYDIS_REGISTER_RSP   ? state.rsp
                      : operand.mem.base == ZYDIS_REGISTER_RBP ? state.rbp
                                                               : std::nullopt;
    return base ? std::optional{*base + operand.mem.disp.value} : std::nullopt;
  }

  /// Value of a source operand; lea gives addresses.
  Value source(Decoded const& d, std::size_t i, State const& state) {
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

  void move(Decoded const& d, State& state) {
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
    if (m == ZYDIS_MNEMONIC_MOVSXD || m == ZYDIS_MNEMONIC_MOV) {
      jump_table(d, state);
    }
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

  /// A switch: entries of four bytes, each a distance from the register that the table is found by.
  void jump_table(Decoded const& d, State const& state) {
    constexpr u32 kMostEntries = 512;
    auto const& operand = d.operands[1];
    auto const base = d.memory(1) ? gpr(operand.mem.base) : std::nullopt;
    if (!base || operand.mem.index == ZYDIS_REGISTER_NONE || operand.mem.scale != 4 ||
        state.registers[*base].tag != Tag::Address) {
      return;
    }
    u64 const origin = state.registers[*base].number;
    u64 at = origin + static_cast<u64>(operand.mem.disp.value);
    for (u32 i = 0; i < kMostEntries; ++i, at += 4) {
      auto const entry = word_at(at);
      u64 const target = origin + (entry ? static_cast<u64>(static_cast<i64>(static_cast<std::int32_t>(*entry))) : 0);
      if (!entry || target > UINT32_MAX || !plausible(static_cast<u32>(target))) {
        return;
      }
      pending_.push_back({static_cast<u32>(target), state});
    }
  }
  std::optional<u32> word_at(u64 rva) const {
    for (auto const& s : all_) {
      if (rva >= s.rva && s.bytes.size() >= 4 && rva - s.rva <= s.bytes.size() - 4) {
        return static_cast<u32>(load_int(s.bytes, static_cast<std::size_t>(rva - s.rva), 4));
      }
    }
    return std::nullopt;
  }

  void store(Decoded const& d, Value value, State& state) {
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

  static void track_stack(Decoded const& d, State& state) {
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

  /// The instruction in words, with the port or the MSR when its number is in the code.
  static std::string name_of(Decoded const& d, State const& state) {
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

  std::vector<CodeSection> const& code_;
  std::vector<CodeSection> const& all_;
  ZydisDecoder decoder_{};
  ZyanStatus last_status_ = 0;
  std::vector<std::vector<u8>> visits_, covered_;
  std::map<u32, Value> globals_;
  std::deque<Path> pending_;
  std::deque<Path> behind_pointers_;  ///< where only a pointer leads to: walked when nothing else is pending
  bool at_start_ = true;              ///< what is walked now can be reached from the entry point without a pointer
  std::set<std::pair<CodeKind, u32>> found_;
  u64 steps_ = 0;
  CodeFacts facts_;
};

/// Services from offset 0x18 on, 8 bytes each (UEFI 2.10, 4.4 and 4.5).
constexpr std::array<std::string_view, 44> kBootServices{"RaiseTPL",
                                                         "RestoreTPL",
                                                         "AllocatePages",
                                                         "FreePages",
                                                         "GetMemoryMap",
                                                         "AllocatePool",
                                                         "FreePool",
                                                         "CreateEvent",
                                                         "SetTimer",
                                                         "WaitForEvent",
                                                         "SignalEvent",
                                                         "CloseEvent",
                                                         "CheckEvent",
                                                         "InstallProtocolInterface",
                                                         "ReinstallProtocolInterface",
                                                         "UninstallProtocolInterface",
                                                         "HandleProtocol",
                                                         "Reserved",
                                                         "RegisterProtocolNotify",
                                                         "LocateHandle",
                                                         "LocateDevicePath",
                                                         "InstallConfigurationTable",
                                                         "LoadImage",
                                                         "StartImage",
                                                         "Exit",
                                                         "UnloadImage",
                                                         "ExitBootServices",
                                                         "GetNextMonotonicCount",
                                                         "Stall",
                                                         "SetWatchdogTimer",
                                                         "ConnectController",
                                                         "DisconnectController",
                                                         "OpenProtocol",
                                                         "CloseProtocol",
                                                         "OpenProtocolInformation",
                                                         "ProtocolsPerHandle",
                                                         "LocateHandleBuffer",
                                                         "LocateProtocol",
                                                         "InstallMultipleProtocolInterfaces",
                                                         "UninstallMultipleProtocolInterfaces",
                                                         "CalculateCrc32",
                                                         "CopyMem",
                                                         "SetMem",
                                                         "CreateEventEx"};
constexpr std::array<std::string_view, 14> kRuntimeServices{"GetTime",
                                                            "SetTime",
                                                            "GetWakeupTime",
                                                            "SetWakeupTime",
                                                            "SetVirtualAddressMap",
                                                            "ConvertPointer",
                                                            "GetVariable",
                                                            "GetNextVariableName",
                                                            "SetVariable",
                                                            "GetNextHighMonotonicCount",
                                                            "ResetSystem",
                                                            "UpdateCapsule",
                                                            "QueryCapsuleCapabilities",
                                                            "QueryVariableInfo"};

std::string service_name(std::span<std::string_view const> names, u32 offset) {
  u32 const index = (offset - 0x18) / 8;
  return offset >= 0x18 && offset % 8 == 0 && index < names.size() ? std::string{names[index]}
                                                                   : fmt::format("service at {:#x}", offset);
}

}  // namespace

std::string boot_service_name(u32 offset) { return service_name(kBootServices, offset); }
std::string runtime_service_name(u32 offset) { return service_name(kRuntimeServices, offset); }

CodeFacts scan_code(std::vector<CodeSection> const& code, std::vector<CodeSection> const& all, u32 entry,
                    std::vector<u32> const& roots) {
  CodeScan scan{code, all};
  scan.follow(entry, roots);
  scan.sweep();
  return scan.take();
}

}  // namespace mm::scenario
