// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>

#include "core/arch/descriptors.hpp"
#include "core/memory/page_tables.hpp"
#include "sim/engine/engine.hpp"

namespace mm::sim {

/// A 4 MiB machine with hand-made page tables for the self-test and the unit tests: code, data and stack of ring 3, a
/// supervisor page and a GDT.
class ScratchGuest {
 public:
  static constexpr u64 kBytes = 4ull << 20;
  static constexpr u64 kTables = 0x1000;  ///< four pages
  static constexpr u64 kGdt = 0x8000;     ///< supervisor, read-only
  static constexpr u64 kSupervisor = 0x9000;
  static constexpr u64 kCode = 0x10000;      ///< two pages, user RX
  static constexpr u64 kData = 0x20000;      ///< one page, user RW NX
  static constexpr u64 kReadOnly = 0x21000;  ///< user RO NX
  static constexpr u64 kStackTop = 0x31000;
  static constexpr u64 kAbsent = 0x40000;

  ScratchGuest() : ram_(static_cast<std::byte*>(std::aligned_alloc(kPageSize, kBytes)), &std::free) {
    std::memset(ram_.get(), 0, kBytes);
    namespace pte = memory::pte;
    put(kTables, (kTables + 0x1000) | pte::kTable);
    put(kTables + 0x1000, (kTables + 0x2000) | pte::kTable);
    put(kTables + 0x2000, (kTables + 0x3000) | pte::kTable);
    map(kGdt, memory::kSupervisorReadOnly);
    map(kSupervisor, memory::kSupervisorData);
    map(kCode, memory::kUserCode);
    map(kCode + 0x1000, memory::kUserCode);
    map(kData, memory::kUserData);
    map(kReadOnly, memory::kUserReadOnly);
    map(kStackTop - 0x1000, memory::kUserData);
    for (u64 const selector : {0x38ull, 0x40ull, 0x50ull, 0x58ull, 0x60ull}) {
      put(kGdt + selector, arch::gdt_entry(selector));
    }
    put(kGdt + arch::kTssSelector, arch::tss_descriptor_low(kGdt + arch::kTssOffset));
  }
  std::span<std::byte> ram() noexcept { return {ram_.get(), kBytes}; }
  void put(u64 at, u64 v) noexcept { std::memcpy(ram_.get() + at, &v, sizeof(v)); }
  u64 get(u64 at) const noexcept {
    u64 v = 0;
    std::memcpy(&v, ram_.get() + at, sizeof(v));
    return v;
  }
  void map(u64 page, memory::PageAttr attr) noexcept {
    put(kTables + 0x3000 + (page >> kPageShift) * 8, memory::leaf_entry(page, attr));
  }
  void code(std::initializer_list<u8> bytes, u64 at = kCode) noexcept {
    for (u8 b : bytes) {
      ram_.get()[at++] = std::byte{b};
    }
  }
  /// An engine on this machine.
  std::expected<std::unique_ptr<Engine>, std::string> engine(EngineConfig config = {}) {
    config.ram = ram();
    auto made = Engine::create(config);
    if (made.has_value()) {
      (*made)->set_cr3(kTables);
      if (auto gdt = (*made)->set_gdt(PhysAddr{kGdt}); !gdt.has_value()) {
        return std::unexpected(gdt.error());
      }
      (*made)->begin_entry();
    }
    return made;
  }
  static hal::UserContext context() noexcept {
    hal::UserContext user;
    user.rip = kCode;
    user.rsp = kStackTop - 0x100;
    user.rflags = 2;
    return user;
  }

 private:
  std::unique_ptr<std::byte, void (*)(void*)> ram_;
};

}  // namespace mm::sim
