// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scan/scan_code.hpp"

#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <string_view>
#include <utility>

#include "tools/lab/firmware/code_kind.hpp"
#include "tools/lab/scan/scan_state.hpp"
#include "tools/lab/text/bytes.hpp"

namespace mm::lab {
namespace {

constexpr u32 kBootServicesPointer = 0x60;     ///< in EFI_SYSTEM_TABLE
constexpr u32 kRuntimeServicesPointer = 0x58;  ///< in EFI_SYSTEM_TABLE
constexpr u32 kSystemTableBytes = 0x78;        ///< a service behind this offset is one of the MMST
constexpr u64 kMostSteps = 8'000'000;
constexpr u8 kMostVisits = 3;  ///< of one instruction, with different values in registers
/// Paths that wait with what is known of their registers; further ones wait without. Bounds the memory of an image that
/// is all branches.
constexpr std::size_t kMostStates = 1 << 14;
constexpr u32 kMostOfAKind = 4096;  ///< findings

class CodeScan {
 public:
  CodeScan(std::vector<CodeSection> const& code, std::vector<CodeSection> const& all) : code_(code), all_(all) {
    ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (auto const& section : code_) {
      visits_.emplace_back(section.bytes.size());
      covered_.emplace_back(section.bytes.size());
      asked_.emplace_back(section.bytes.size());
    }
    collect_starts();
  }

  /// Follows every path; again while that has shown new variables that hold a table.
  void follow(u32 entry, std::vector<u32> const& roots) {
    constexpr int kMostPasses = 3;
    std::size_t known = 1;
    for (int pass = 0; pass < kMostPasses && known != globals_.size(); ++pass) {
      known = globals_.size();
      for (std::size_t s = 0; s < code_.size(); ++s) {
        std::ranges::fill(visits_[s], u8{0});
        std::fill(asked_[s].begin(), asked_[s].end(), false);
      }
      State start;
      start.registers[kRdx] = {Tag::Table, 0};
      pending_.push_back({entry, start});
      at_start_ = true;
      walk_pending();
      at_start_ = false;
      for (u32 const root : roots) {
        add_root(root);
      }
      // Walking one adds others.
      for (std::size_t i = 0; i < roots_.size(); ++i) {
        walk_root(roots_[i]);
      }
      roots_.clear();
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
    auto& count = counts_[static_cast<std::size_t>(kind)];
    if (count < kMostOfAKind && found_.insert({kind, rva}).second) {
      ++count;
      facts_.findings.push_back({kind, rva, code_[section].offset + at, bytes, std::move(text), at_start_});
    }
  }

  /// Addresses that instructions name: where a function, a variable, a text or the table of a switch begins. From a
  /// sweep that may take data for instructions, so that some are none.
  void collect_starts() {
    for (std::size_t s = 0; s < code_.size(); ++s) {
      for (std::size_t at = 0; at < code_[s].bytes.size();) {
        Decoded d;
        bool const good = decode(s, at, d);
        if (good && d.mnemonic() == ZYDIS_MNEMONIC_LEA && d.memory(1) && d.operands[1].mem.base == ZYDIS_REGISTER_RIP) {
          if (auto const target = d.absolute(d.operands[1])) {
            starts_.insert(*target);
          }
        }
        at += good ? d.instruction.length : 1;
      }
    }
  }

  /// Code that only a pointer leads to. Compilers put read-only data among the code: it must look like code.
  void add_root(u32 rva) {
    auto const at = place(rva);
    if (!at || asked_[at->first][at->second]) {
      return;
    }
    asked_[at->first][at->second] = true;
    if (plausible(rva) && !is_table_of_code(rva)) {
      roots_.push_back(rva);
    }
  }

  /// The table of a switch, to which the same instructions point as to a function: distances to code, with the sign in
  /// the last byte.
  bool is_table_of_code(u32 rva) const {
    constexpr u32 kLeast = 3;
    for (u32 i = 0; i < kLeast; ++i) {
      auto const entry = word_at(u64{rva} + 4 * i);
      u8 const sign = entry ? static_cast<u8>(*entry >> 24) : u8{1};
      if ((sign != 0 && sign != 0xFF) || !place(rva + *entry)) {
        return false;
      }
    }
    return true;
  }

  /// Walks what is behind a pointer. When a path there comes to what no compiler writes, it was data: nothing of it
  /// holds.
  void walk_root(u32 rva) {
    if (tables_.contains(rva)) {
      return;
    }
    std::size_t const findings = facts_.findings.size();
    touched_.clear();
    sound_ = true;
    pending_.push_back({rva, State{}});
    walk_pending();
    if (sound_) {
      return;
    }
    for (auto const& [section, offset, length] : touched_) {
      visits_[section][offset] = 0;
      std::fill_n(covered_[section].begin() + static_cast<std::ptrdiff_t>(offset), length, u8{0});
    }
    for (std::size_t i = findings; i < facts_.findings.size(); ++i) {
      auto const& f = facts_.findings[i];
      found_.erase({f.kind, f.rva});
      --counts_[static_cast<std::size_t>(f.kind)];
    }
    facts_.findings.resize(findings);
  }

  /// Zeros, or INS and OUTS without REP, which are the letters l to o.
  static bool is_data(Decoded const& d, std::span<std::byte const> bytes) {
    bool const zeros = bytes[0] == std::byte{0} && d.mnemonic() == ZYDIS_MNEMONIC_ADD;
    bool const letters = is_string_io(d.mnemonic()) && (d.instruction.attributes & ZYDIS_ATTRIB_HAS_REP) == 0;
    return zeros || letters;
  }

  /// Four letters or more up to a zero, of one or two bytes each.
  static bool is_text(std::span<std::byte const> bytes) {
    constexpr std::size_t kLeast = 4;
    for (std::size_t const width : {std::size_t{1}, std::size_t{2}}) {
      std::size_t letters = 0;
      for (std::size_t at = 0; at + width <= bytes.size(); at += width) {
        auto const c = static_cast<u8>(bytes[at]);
        bool const wide_zero = width == 1 || bytes[at + 1] == std::byte{0};
        if (c == 0 && wide_zero && letters >= kLeast) {
          return true;
        }
        if (!wide_zero || !((c >= 0x20 && c < 0x7F) || c == '\n' || c == '\r' || c == '\t')) {
          break;
        }
        ++letters;
      }
    }
    return false;
  }

  bool plausible(u32 rva) {
    constexpr int kMost = 2048;
    auto const at = place(rva);
    if (!at) {
      return false;
    }
    auto [section, offset] = *at;
    if (is_text(code_[section].bytes.subspan(offset))) {
      return false;
    }
    for (int i = 0; i < kMost && offset < code_[section].bytes.size(); ++i) {
      Decoded d;
      if (!decode(section, offset, d)) {
        return false;
      }
      if (is_data(d, code_[section].bytes.subspan(offset))) {
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
    while (!pending_.empty() || !plain_pending_.empty()) {
      Path path;
      if (pending_.empty()) {
        path.rva = plain_pending_.back();
        plain_pending_.pop_back();
      } else {
        path = std::move(pending_.front());
        pending_.pop_front();
      }
      walk(path);
    }
  }

  /// Keeps a path for later, unless what is there has been walked already.
  void later(u32 rva, State state) {
    auto const at = place(rva);
    if (!at) {
      sound_ = false;
      return;
    }
    u8 const visits = visits_[at->first][at->second];
    if (visits == kMostVisits || (visits != 0 && !state.interesting())) {
      return;
    }
    if (pending_.size() < kMostStates) {
      pending_.push_back({rva, std::move(state), {}});
    } else if (visits == 0) {
      plain_pending_.push_back(rva);
    }
  }

  void walk(Path& path) {
    for (;;) {
      auto const at = place(path.rva);
      if (!at || ++steps_ > kMostSteps) {
        facts_.complete = facts_.complete && steps_ <= kMostSteps;
        sound_ = sound_ && (at || path.rva == path.behind_call);
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
        } else if (path.rva != path.behind_call) {
          sound_ = false;
        }
        return;
      }
      if (!at_start_) {
        touched_.push_back({section, offset, d.instruction.length});
        if (path.rva != path.behind_call && is_data(d, code_[section].bytes.subspan(offset))) {
          sound_ = false;
          return;
        }
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
        path.behind_call = path.rva;
        return true;
      default:
        break;
    }
    if (d.instruction.meta.category == ZYDIS_CATEGORY_COND_BR) {
      if (auto const target = d.absolute(d.operands[0])) {
        State taken = path.state;
        learn_bound(d.mnemonic(), taken, path.state);
        later(*target, std::move(taken));
      }
      return true;
    }
    move(d, path.state);
    return true;
  }

  /// Installing a protocol: the GUID that the second argument, and of InstallMultipleProtocolInterfaces the fourth,
  /// names.
  void note_installed(Tag table, u32 service, State const& state) {
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
  void note_device(Decoded const& d, State const& state) {
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
        auto const at = place(d.rva);
        add(CodeKind::Device, at->first, at->second, d.instruction.length,
            fmt::format("{} of memory at {:#x}", ZydisMnemonicGetString(d.mnemonic()), address));
      }
    }
  }

  void call(Decoded const& d, State const& state) {
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
      default:
        return {};
    }
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
  void jump_table(Decoded const& d, State const& state) {
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
      auto const entry = word_at(at);
      u64 const target = origin + (entry ? static_cast<u64>(static_cast<i64>(static_cast<std::int32_t>(*entry))) : 0);
      bool const past = !most && i != 0 && is_something_else(static_cast<u32>(at));
      if (!entry || past || target > UINT32_MAX || !plausible(static_cast<u32>(target))) {
        return;
      }
      later(static_cast<u32>(target), state);
    }
  }
  bool is_something_else(u32 rva) const {
    auto const at = place(rva);
    return starts_.contains(rva) || (at && covered_[at->first][at->second] != 0);
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

  std::vector<CodeSection> const& code_;
  std::vector<CodeSection> const& all_;
  ZydisDecoder decoder_{};
  ZyanStatus last_status_ = 0;
  struct Touched {
    std::size_t section, offset;
    u8 length;
  };

  std::vector<std::vector<u8>> visits_, covered_;
  std::vector<std::vector<bool>> asked_;  ///< places that a pointer to was seen
  std::map<u32, Value> globals_;
  std::set<u32> starts_;
  std::set<u32> tables_;  ///< of switches that were walked
  std::deque<Path> pending_;
  std::vector<u32> plain_pending_;  ///< paths of which nothing is known
  std::vector<u32> roots_;          ///< where only a pointer leads to: walked when nothing else is pending
  std::vector<Touched> touched_;    ///< instructions of the root that is walked now
  bool sound_ = true;               ///< it looks like code so far
  bool at_start_ = true;            ///< what is walked now can be reached from the entry point without a pointer
  std::set<std::pair<CodeKind, u32>> found_;
  std::array<u32, 8> counts_{};  ///< of findings, by kind
  u64 steps_ = 0;
  CodeFacts facts_;
};

}  // namespace

CodeFacts scan_code(std::vector<CodeSection> const& code, std::vector<CodeSection> const& all, u32 entry,
                    std::vector<u32> const& roots) {
  CodeScan scan{code, all};
  scan.follow(entry, roots);
  scan.sweep();
  return scan.take();
}

}  // namespace mm::lab
