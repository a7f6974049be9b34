// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "core/memory/page_tables.hpp"
#include "core/supervisor/here.hpp"
#include "hal/fake/machine.hpp"

/// One CPU of a fake machine, for a part of the supervisor without the others.
namespace mm::test {

struct Part {
  using Machine = fake::Machine;
  using Here = supervisor::Here<Machine>;

  static constexpr u64 kRoot = 0x10'0000;  ///< page tables; the pages behind it are theirs too
  static constexpr u64 kMmram = 0x0800'0000;
  static constexpr u64 kMmramBytes = 0x40'0000;

  Part() { cpu.cr3 = kRoot; }

  template <typename T>
  void put(u64 at, T const& value) {
    machine.memory.write(at, std::as_bytes(std::span(&value, 1)));
  }
  template <typename T>
  T get(u64 at) {
    T value{};
    machine.memory.read(at, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void map(u64 base, u64 bytes, memory::PageAttr attr) {
    EXPECT_TRUE((memory::PageTables<fake::Cpu>(cpu, PhysAddr{kRoot}).set({base, bytes}, attr, source)));
  }
  /// The events of one kind, with their fields.
  template <hal::Event E>
  std::vector<E> told() const {
    std::vector<E> found;
    for (auto const& event : machine.events) {
      if (event.kind == E::kKind) {
        found.push_back(hal::unpack<E>(event));
      }
    }
    return found;
  }

  struct Source {
    u64 next = kRoot + kPageSize;
    Expected<PhysAddr> take_page() noexcept {
      next += kPageSize;
      return PhysAddr{next - kPageSize};
    }
  };
  Machine machine;
  fake::Cpu cpu{machine, 0, true};
  supervisor::CpuSlot slot;
  u32 stopped = 0;
  Here here{machine, cpu, 0, slot, stopped};
  Source source;
};

}  // namespace mm::test
