// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/engine/far_operand.hpp"

#include <array>
#include <cstring>

#include "sim/engine/refused.hpp"

namespace mm::sim {
namespace {

std::array<u64, 16> registers_of(hal::UserContext const& u) noexcept {
  return {u.rax, u.rcx, u.rdx, u.rbx, u.rsp, u.rbp, u.rsi, u.rdi, u.r8, u.r9, u.r10, u.r11, u.r12, u.r13, u.r14, u.r15};
}

std::optional<u64> displacement(std::span<u8 const> code, std::size_t at, std::size_t bytes) noexcept {
  if (at + bytes > code.size()) {
    return std::nullopt;
  }
  if (bytes == 1) {
    return static_cast<u64>(static_cast<std::int64_t>(static_cast<std::int8_t>(code[at])));
  }
  std::int32_t value = 0;
  std::memcpy(&value, code.data() + at, bytes);
  return static_cast<u64>(std::int64_t{value});
}

}  // namespace

std::optional<u64> far_selector_address(std::span<u8 const> code, hal::UserContext const& user) noexcept {
  u8 rex = 0;
  bool short_offset = false, short_address = false;
  std::size_t at = 0;
  for (; at < code.size() && is_prefix(code[at]); ++at) {
    rex = (code[at] & 0xF0) == 0x40 ? code[at] : u8{0};  // counts in front of the opcode only
    short_offset = short_offset || code[at] == 0x66;
    short_address = short_address || code[at] == 0x67;
  }
  if (at + 2 > code.size() || code[at] != 0xFF) {
    return std::nullopt;
  }
  u8 const modrm = code[at + 1];
  unsigned const mod = modrm >> 6, reg = modrm >> 3 & 7, rm = modrm & 7;
  if (mod == 3 || (reg != 3 && reg != 5)) {
    return std::nullopt;
  }
  at += 2;
  auto const r = registers_of(user);
  u64 address = 0;
  bool bare = mod == 0 && rm == 5;  // RIP + disp32
  if (rm == 4) {
    if (at == code.size()) {
      return std::nullopt;
    }
    u8 const sib = code[at++];
    unsigned const index = (sib >> 3 & 7u) | ((rex & 2u) << 2), base = (sib & 7u) | ((rex & 1u) << 3);
    address += index == 4 ? 0 : r[index] << (sib >> 6);
    bool const no_base = mod == 0 && (sib & 7) == 5;
    address += no_base ? 0 : r[base];
    bare = no_base;
  } else if (!bare) {
    address += r[rm | ((rex & 1u) << 3)];
  }
  std::size_t const bytes = mod == 1 ? 1 : mod == 2 || bare ? 4 : 0;
  if (bytes != 0) {
    auto const moved = displacement(code, at, bytes);
    if (!moved) {
      return std::nullopt;
    }
    address += *moved;
  }
  address += bare && rm == 5 ? user.rip + at + bytes : 0;
  address = short_address ? address & 0xFFFF'FFFF : address;
  return address + ((rex & 8) != 0 ? 8u : short_offset ? 2u : 4u);
}

}  // namespace mm::sim
