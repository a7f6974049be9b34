// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "hal/roles/machine.hpp"

/// The least types that satisfy the roles: declared, never defined, neither copied nor moved. A concept does not forbid
/// a service to call more than it promises; instantiating the service with these does. Compile-only.
namespace mm::hal::archetype {

class Cpu {
 public:
  Cpu(Cpu const&) = delete;
  Cpu& operator=(Cpu const&) = delete;

  void read(PhysAddr at, std::span<std::byte> into) noexcept;
  void write(PhysAddr at, std::span<std::byte const> from) noexcept;
  void copy(PhysAddr to, PhysAddr from, u64 bytes) noexcept;
  void zero(PhysAddr at, u64 bytes) noexcept;
  Expected<u64> read_msr(u32 msr) noexcept;
  Expected<void> write_msr(u32 msr, u64 value) noexcept;
  u32 port_in(u16 port, abi::IoWidth width) noexcept;
  void port_out(u16 port, abi::IoWidth width, u32 value) noexcept;
  void cli() noexcept;
  void hlt() noexcept;
  void wbinvd() noexcept;
  void speculation_barrier() noexcept;
  void pause() noexcept;
  u32 load_shared(u32 const& word) noexcept;
  void store_shared(u32& word, u32 value) noexcept;
  void increment_shared(u32& word) noexcept;
  u64 read_cr3() noexcept;
  void flush_tlb() noexcept;
  void set_write_protect(bool on) noexcept;
  void set_user_access(bool on) noexcept;
  void clean_user_state() noexcept;
  UserExit run_user(UserContext& user) noexcept;
  u64 now_us() noexcept;
  bool is_bsp() noexcept;
  u32 apic_id() noexcept;
  u32 physical_address_bits() noexcept;
};
static_assert(hal::Cpu<Cpu>);

class Machine {
 public:
  using Cpu = archetype::Cpu;
  static constexpr bool kTraced = true;

  Machine(Machine const&) = delete;
  Machine& operator=(Machine const&) = delete;

  void trace(TraceEvent const& event) noexcept;
  Range mmram() noexcept;
  u64 own_code() noexcept;
  void halt(HaltReason why) noexcept;
};
static_assert(hal::Machine<Machine>);

}  // namespace mm::hal::archetype
