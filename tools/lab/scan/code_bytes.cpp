// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scan/code_bytes.hpp"

#include "tools/lab/firmware/code_kind.hpp"
#include "tools/lab/text/bytes.hpp"

namespace mm::lab {
namespace {

/// Four letters or more up to a zero, of one or two bytes each.
bool is_text(std::span<std::byte const> bytes) {
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

}  // namespace

/// Zeros, or INS and OUTS without REP, which are the letters l to o.
bool looks_like_data(Decoded const& d, std::span<std::byte const> bytes) {
  bool const zeros = bytes[0] == std::byte{0} && d.mnemonic() == ZYDIS_MNEMONIC_ADD;
  bool const letters = is_string_io(d.mnemonic()) && (d.instruction.attributes & ZYDIS_ATTRIB_HAS_REP) == 0;
  return zeros || letters;
}

CodeBytes::CodeBytes(std::vector<CodeSection> const& code, std::vector<CodeSection> const& all)
    : code_(code), all_(all) {
  ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  collect_starts();
}

std::optional<std::pair<std::size_t, std::size_t>> CodeBytes::place(u32 rva) const {
  for (std::size_t s = 0; s < code_.size(); ++s) {
    if (rva >= code_[s].rva && rva - code_[s].rva < code_[s].bytes.size()) {
      return std::pair{s, static_cast<std::size_t>(rva - code_[s].rva)};
    }
  }
  return std::nullopt;
}

bool CodeBytes::decode(std::size_t section, std::size_t at, Decoded& d) {
  auto const bytes = code_[section].bytes;
  d.rva = code_[section].rva + static_cast<u32>(at);
  last_status_ =
      ZydisDecoderDecodeFull(&decoder_, bytes.data() + at, bytes.size() - at, &d.instruction, d.operands.data());
  return ZYAN_SUCCESS(last_status_);
}

/// Addresses that instructions name: where a function, a variable, a text or the table of a switch begins. From a
/// sweep that may take data for instructions, so that some are none.
void CodeBytes::collect_starts() {
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

/// The table of a switch, to which the same instructions point as to a function: distances to code, with the sign in
/// the last byte.
bool CodeBytes::is_table_of_code(u32 rva) const {
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

bool CodeBytes::plausible(u32 rva) {
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
    if (looks_like_data(d, code_[section].bytes.subspan(offset))) {
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

std::optional<u32> CodeBytes::word_at(u64 rva) const {
  for (auto const& s : all_) {
    if (rva >= s.rva && s.bytes.size() >= 4 && rva - s.rva <= s.bytes.size() - 4) {
      return static_cast<u32>(load_int(s.bytes, static_cast<std::size_t>(rva - s.rva), 4));
    }
  }
  return std::nullopt;
}

}  // namespace mm::lab
