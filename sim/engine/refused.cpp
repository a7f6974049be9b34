// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/engine/refused.hpp"

#include <algorithm>
#include <array>

namespace mm::sim {
namespace {

constexpr u8 kUndefined = 6;
constexpr u8 kProtection = 13;
constexpr u8 kRegisterForm = 0xC0;  ///< the first ModRM without a memory operand

/// MOVMSKPS, the shifts of MMX and XMM registers by a number, PEXTRW, PMOVMSKB, MASKMOVQ: SDM 2D, tables.
constexpr bool has_no_memory_form(u8 opcode) noexcept {
  constexpr auto kOpcodes = std::to_array<u8>({0x50, 0x71, 0x72, 0x73, 0xC5, 0xD7, 0xF7});
  return std::ranges::find(kOpcodes, opcode) != kOpcodes.end();
}

/// What comes before an opcode.
struct Prefixes {
  bool operand = false, f2 = false, f3 = false, lock = false;
  std::size_t bytes = 0;
};

Prefixes prefixes_of(std::span<u8 const> code) noexcept {
  Prefixes out;
  for (; out.bytes < code.size() && is_prefix(code[out.bytes]); ++out.bytes) {
    u8 const byte = code[out.bytes];
    out.operand = out.operand || byte == 0x66;
    out.lock = out.lock || byte == 0xF0;
    if (byte == 0xF2 || byte == 0xF3) {  // the last of the two counts
      out.f2 = byte == 0xF2;
      out.f3 = byte == 0xF3;
    }
  }
  return out;
}

/// Groups 6 and 7: 0F 00 and 0F 01.
std::optional<u8> of_group(u8 opcode, u8 modrm) noexcept {
  unsigned const reg = modrm >> 3 & 7;
  bool const memory = modrm < kRegisterForm;
  if (opcode == 0x00) {
    return reg <= 1 ? std::optional{kProtection} : std::nullopt;  // SLDT, STR
  }
  if (modrm == 0xC8 || modrm == 0xC9) {
    return kUndefined;  // MONITOR, MWAIT
  }
  bool const table = memory && reg <= 1;  // SGDT, SIDT
  return table || reg == 4 ? std::optional{kProtection} : std::nullopt;
}

}  // namespace

bool is_prefix(u8 byte) noexcept {
  constexpr auto kLegacy = std::to_array<u8>({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3});
  return (byte & 0xF0) == 0x40 || std::ranges::find(kLegacy, byte) != kLegacy.end();
}

bool may_be_refused(std::span<u8 const> code) noexcept {
  if (code.size() < 2) {
    return false;
  }
  if (code[0] == 0xC5 || code[0] == 0xC4) {
    std::size_t const opcode = code[0] == 0xC5 ? 2 : 3;
    return code.size() > opcode && code[opcode] == 0x77;
  }
  constexpr auto kSecond = std::to_array<u8>({0x00, 0x01, 0x2B, 0x33, 0x78, 0x79, 0xD6});
  if (code[0] == 0x0F && has_no_memory_form(code[1])) {
    return code.size() > 2 && code[2] < kRegisterForm;
  }
  return code[0] == 0x0F && std::ranges::find(kSecond, code[1]) != kSecond.end();
}

std::optional<u8> refused_vector(std::span<u8 const> code) noexcept {
  auto const p = prefixes_of(code);
  auto const rest = code.subspan(p.bytes);
  if (!may_be_refused(rest)) {
    return std::nullopt;
  }
  if (rest[0] != 0x0F || p.lock) {
    return kUndefined;
  }
  if (has_no_memory_form(rest[1])) {
    return kUndefined;
  }
  switch (rest[1]) {
    case 0x2B:  // without F2 or F3: MOVNTPS, MOVNTPD
      return p.f2 || p.f3 ? std::optional{kUndefined} : std::nullopt;
    case 0xD6: {  // MOVQ2DQ and MOVDQ2Q, which have no memory form either; else MOVQ
      bool const memory = rest.size() > 2 && rest[2] < kRegisterForm;
      return memory && (p.f2 || p.f3) ? std::optional{kUndefined} : std::nullopt;
    }
    case 0x33:
      return kProtection;
    case 0x78:
    case 0x79:  // else VMREAD, VMWRITE: #UD by the engine, too
      return kUndefined;
    default:
      return rest.size() > 2 ? of_group(rest[1], rest[2]) : std::nullopt;
  }
}

}  // namespace mm::sim
