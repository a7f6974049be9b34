// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scan/scan_code.hpp"

#include <algorithm>
#include <utility>

#include "tools/lab/firmware/code_kind.hpp"
#include "tools/lab/scan/code_scan.hpp"

namespace mm::lab {
namespace {

constexpr u64 kMostSteps = 8'000'000;
constexpr u8 kMostVisits = 3;  ///< of one instruction, with different values in registers
/// Paths that wait with what is known of their registers; further ones wait without. Bounds the memory of an image that
/// is all branches.
constexpr std::size_t kMostStates = 1 << 14;
constexpr u32 kMostOfAKind = 4096;  ///< findings

}  // namespace

CodeScan::CodeScan(std::vector<CodeSection> const& code, std::vector<CodeSection> const& all) : bytes_(code, all) {
  for (auto const& section : code) {
    visits_.emplace_back(section.bytes.size());
    covered_.emplace_back(section.bytes.size());
    asked_.emplace_back(section.bytes.size());
  }
}

/// Follows every path; again while that has shown new variables that hold a table.
void CodeScan::follow(u32 entry, std::vector<u32> const& roots) {
  constexpr int kMostPasses = 3;
  std::size_t known = 1;
  for (int pass = 0; pass < kMostPasses && known != globals_.size(); ++pass) {
    known = globals_.size();
    for (std::size_t s = 0; s < bytes_.sections().size(); ++s) {
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
void CodeScan::sweep() {
  for (std::size_t s = 0; s < bytes_.sections().size(); ++s) {
    auto const bytes = bytes_.sections()[s].bytes;
    for (std::size_t at = 0; at < bytes.size();) {
      Decoded d;
      if (covered_[s][at] != 0 || !bytes_.decode(s, at, d)) {
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
      if (pair && !seen_.places.contains({CodeKind::Rsm, bytes_.sections()[s].rva + static_cast<u32>(at)})) {
        add(CodeKind::RsmBytes, s, at, 2, "0F AA");
      }
    }
  }
}

CodeFacts CodeScan::take() {
  std::ranges::sort(facts_.findings, {}, [](CodeFinding const& f) { return std::pair{f.offset, f.kind}; });
  return std::move(facts_);
}

/// Code that only a pointer leads to. Compilers put read-only data among the code: it must look like code.
void CodeScan::add_root(u32 rva) {
  auto const at = bytes_.place(rva);
  if (!at || asked_[at->first][at->second]) {
    return;
  }
  asked_[at->first][at->second] = true;
  if (bytes_.plausible(rva) && !bytes_.is_table_of_code(rva)) {
    roots_.push_back(rva);
  }
}

/// Walks what is behind a pointer. When a path there comes to what no compiler writes, it was data: nothing of it
/// holds.
void CodeScan::walk_root(u32 rva) {
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
    seen_.places.erase({f.kind, f.rva});
    --seen_.counts[static_cast<std::size_t>(f.kind)];
  }
  facts_.findings.resize(findings);
}

void CodeScan::walk_pending() {
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
void CodeScan::later(u32 rva, State state) {
  auto const at = bytes_.place(rva);
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

void CodeScan::walk(Path& path) {
  for (;;) {
    auto const at = bytes_.place(path.rva);
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
    if (!bytes_.decode(section, offset, d)) {
      if (bytes_.status() == ZYDIS_STATUS_ILLEGAL_LOCK) {
        add(CodeKind::LockForm, section, offset, 1, "LOCK before an instruction that does not take it");
      } else if (path.rva != path.behind_call) {
        sound_ = false;
      }
      return;
    }
    if (!at_start_) {
      touched_.push_back({section, offset, d.instruction.length});
      if (path.rva != path.behind_call && looks_like_data(d, bytes_.sections()[section].bytes.subspan(offset))) {
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
bool CodeScan::step(Decoded const& d, Path& path) {
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

void CodeScan::add(CodeKind kind, std::size_t section, std::size_t at, u32 bytes, std::string text) {
  u32 const rva = bytes_.sections()[section].rva + static_cast<u32>(at);
  auto& count = seen_.counts[static_cast<std::size_t>(kind)];
  if (count < kMostOfAKind && seen_.places.insert({kind, rva}).second) {
    ++count;
    facts_.findings.push_back({kind, rva, bytes_.sections()[section].offset + at, bytes, std::move(text), at_start_});
  }
}

CodeFacts scan_code(std::vector<CodeSection> const& code, std::vector<CodeSection> const& all, u32 entry,
                    std::vector<u32> const& roots) {
  CodeScan scan{code, all};
  scan.follow(entry, roots);
  scan.sweep();
  return scan.take();
}

}  // namespace mm::lab
