// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <algorithm>
#include <array>
#include <cstring>

#include "core/arch/descriptors.hpp"
#include "core/memory/page_tables.hpp"
#include "sim/engine/engine_impl.hpp"
#include "sim/engine/far_operand.hpp"
#include "sim/engine/refused.hpp"

/// Looking at the code of ring 3 through its own page tables, without running it.
namespace mm::sim {
namespace {

namespace pte = memory::pte;

}  // namespace

/// An entry of a page table in RAM; where there is none, one that is not present.
u64 Engine::Impl::table_entry(u64 at) const noexcept {
  u64 entry = 0;
  if (at + sizeof entry <= config.ram.size()) {
    std::memcpy(&entry, config.ram.data() + at, sizeof entry);
  }
  return entry;
}

u64 Engine::Impl::leaf(u64 address) const noexcept {
  auto const found = memory::find_leaf([this](u64 at) noexcept { return table_entry(at); }, cr3, address);
  if (!found) {
    return 0;
  }
  u64 const inside = address & (found->bytes() - 1) & ~(kPageSize - 1);
  return (found->target() + inside) | (found->rights & pte::kFullRights) | pte::kPresent |
         (found->value & pte::kNoExecute);
}

bool Engine::Impl::read_code(u64 at, std::span<u8> out) const noexcept {
  for (u8& byte : out) {
    u64 const entry = leaf(at);
    u64 const physical = (entry & pte::kAddress) + (at & (kPageSize - 1));
    if (entry == 0 || physical >= config.ram.size()) {
      return false;
    }
    byte = static_cast<u8>(config.ram[physical]);
    ++at;
  }
  return true;
}

/// The opcode behind the prefixes of the instruction at `at`, and the byte after it; 0 where nothing can be read.
std::array<u8, 2> Engine::Impl::opcode_at(u64 at) const noexcept {
  constexpr auto kPrefixes = std::to_array<u8>({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3});
  std::array<u8, 2> code{};
  u64 const end = at + 14;  // of the longest instruction
  while (at < end && read_code(at, std::span(code).first(1)) &&
         ((code[0] & 0xF0) == 0x40 || std::ranges::find(kPrefixes, code[0]) != kPrefixes.end())) {
    ++at;
  }
  read_code(at + 1, std::span(code).last(1));
  return code;
}

std::size_t Engine::Impl::instruction_at(u64 at, std::span<u8> out) const noexcept {
  std::size_t bytes = 0;
  while (bytes < out.size() && read_code(at + bytes, out.subspan(bytes, 1))) {
    ++bytes;
  }
  return bytes;
}

/// Whether the instruction at RIP is a far CALL or JMP with the selector of the gate.
bool Engine::Impl::goes_through_gate(hal::UserContext const& user) const noexcept {
  std::array<u8, 15> code{};
  auto const bytes = instruction_at(user.rip, code);
  auto const at = far_selector_address(std::span<u8 const>(code).first(bytes), user);
  std::array<u8, 2> selector{};
  return at && read_code(*at, selector) && ((selector[0] | selector[1] << 8) & ~7) == arch::kGateSelector;
}

/// The engine aborts the process when it translates LOCK BT/BTS/BTR/BTC with a register operand (they are #UD on a
/// CPU). Where those bytes are in an executable user page, at whatever offset, the engine gets a copy of the page with
/// an invalid opcode in place of the prefix.
void Engine::Impl::hide_untranslatable() noexcept {
  auto is_bit_test = [](u8 const* p) {  // behind F0
    std::size_t i = 0;
    while (i < 4 && (p[i] == 0x66 || p[i] == 0xF2 || p[i] == 0xF3 || p[i] == 0xF0 || (p[i] & 0xF0) == 0x40)) {
      ++i;
    }
    if (p[i] != 0x0F || p[i + 2] < 0xC0) {
      return false;
    }
    u8 const op = p[i + 1];
    return op == 0xA3 || op == 0xAB || op == 0xB3 || op == 0xBB || (op == 0xBA && (p[i + 2] & 0x20) != 0);
  };
  for_each_code_page([&](u64 page, u64 physical) {
    auto const* bytes = reinterpret_cast<u8 const*>(config.ram.data() + physical);
    std::byte* copy = nullptr;
    for (u64 i = 0; i < kPageSize; ++i) {
      if (bytes[i] != 0xF0) {
        continue;
      }
      std::array<u8, 8> tail{};
      u64 const here = std::min<u64>(tail.size(), kPageSize - 1 - i);
      std::memcpy(tail.data(), bytes + i + 1, here);
      if (here < tail.size()) {
        read_code(page + kPageSize, std::span(tail).subspan(here));
      }
      if (is_bit_test(tail.data()) && (copy != nullptr || overlay(physical, copy).has_value())) {
        copy[i] = std::byte{0x06};
      }
    }
  });
}

/// Hooks every address of executable user pages at which an instruction may start that refused_vector() knows: the
/// opcode's, and those of the prefixes before it. A hook costs nothing where no instruction starts there.
void Engine::Impl::watch_refused() noexcept {
  for (uc_hook const hook : watched) {
    uc_hook_del(uc, hook);
  }
  watched.clear();
  for_each_code_page([&](u64 page, u64 physical) {
    auto const* bytes = reinterpret_cast<u8 const*>(config.ram.data() + physical);
    for (u64 i = 0; i < kPageSize; ++i) {
      if (bytes[i] != 0x0F && bytes[i] != 0xC4 && bytes[i] != 0xC5) {
        continue;
      }
      std::array<u8, 4> code{};
      std::size_t length = std::min<u64>(code.size(), kPageSize - i);
      std::memcpy(code.data(), bytes + i, length);
      while (length < code.size() && read_code(page + i + length, std::span(code).subspan(length, 1))) {
        ++length;
      }
      if (!may_be_refused(std::span<u8 const>(code).first(length))) {
        continue;
      }
      watch(page + i);
      std::array<u8, 1> before{};
      for (u64 at = page + i; read_code(at - 1, before) && is_prefix(before[0]) && page + i - at < 14;) {
        watch(--at);
      }
    }
  });
}

/// Calls f(address, physical address) for each 4 KiB page that ring 3 may execute.
template <typename F>
void Engine::Impl::for_each_code_page(F&& f) const {
  memory::visit([this](u64 at) noexcept { return table_entry(at); }, cr3,
                [&](memory::TableEntry const& entry) {
                  bool const reachable = entry.user() && entry.executable();
                  for (u64 at = 0; reachable && entry.is_leaf() && at < entry.bytes(); at += kPageSize) {
                    if (entry.target() + at + kPageSize <= config.ram.size()) {
                      f(entry.linear + at, entry.target() + at);
                    }
                  }
                  return reachable;
                });
}

}  // namespace mm::sim
