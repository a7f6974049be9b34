// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/communication/normal_world.hpp"
#include "hal/bare/instructions.hpp"
#include "hal/qemu_rom/chipset.hpp"
#include "hal/qemu_rom/layout.hpp"
#include "hal/roles/machine.hpp"

namespace mm::rom {

extern "C" {
/// 1, or 0 when the CPU raised #GP.
u64 rom_rdmsr(u32 msr, u64* value) noexcept;
u64 rom_wrmsr(u32 msr, u64 value) noexcept;
}

/// The CPUs of the machine: [0] is the BSP, then the APs by rising APIC ID.
struct CpuSet {
  u32 count = 1;
  std::array<u32, platform::kMaxCpus> apic_ids{};
  std::array<u32, platform::kMaxCpus> wake_slot{};  ///< index into the wake counters; unused for the BSP
};

/// hal::PhysMemory and communication::NormalWorld on the BSP outside MM.
class NormalWorld {
 public:
  explicit NormalWorld(CpuSet const& cpus) noexcept : cpus_(cpus) {}

  /// Reads by accesses of at most 4 bytes: wider ones are answered with zeros for locked SMRAM. Beyond 4 GiB: FF.
  void read(PhysAddr at, std::span<std::byte> in) noexcept {
    u64 addr = raw(at);
    std::size_t i = 0;
    for (; (addr & 3) == 0 && in.size() - i >= 4 && addr < kTop; i += 4, addr += 4) {
      u32 const word = *reinterpret_cast<u32 const volatile*>(addr);
      __builtin_memcpy(in.data() + i, &word, 4);
    }
    for (; i < in.size(); ++i, ++addr) {
      in[i] = addr < kTop ? static_cast<std::byte>(*reinterpret_cast<u8 const volatile*>(addr)) : std::byte{0xFF};
    }
  }
  /// Writes; beyond 4 GiB they are dropped.
  void write(PhysAddr at, std::span<std::byte const> out) noexcept {
    u64 const addr = raw(at);
    if (addr < kTop && out.size() <= kTop - addr) {
      bare::copy_bytes(addr, reinterpret_cast<u64>(out.data()), out.size());
    }
  }
  void copy(PhysAddr destination, PhysAddr source, u64 bytes) noexcept {
    bare::copy_bytes(raw(destination), raw(source), bytes);
  }
  void zero(PhysAddr at, u64 bytes) noexcept { bare::zero_bytes(raw(at), bytes); }

  u32 port_in(u16 port, abi::IoWidth width) noexcept {
    switch (width) {
      case abi::IoWidth::Byte:
        return bare::in8(port);
      case abi::IoWidth::Word:
        return bare::in16(port);
      default:
        return bare::in32(port);
    }
  }
  void port_out(u16 port, abi::IoWidth width, u32 value) noexcept {
    bool const smi = port == platform::kPortApmCnt && (value & 0xFF) != 2 && (value & 0xFF) != 3;
    Wakes const before = wakes();
    switch (width) {
      case abi::IoWidth::Byte:
        bare::out8(port, static_cast<u8>(value));
        break;
      case abi::IoWidth::Word:
        bare::out16(port, static_cast<u16>(value));
        break;
      default:
        bare::out32(port, value);
        break;
    }
    asm volatile("jmp 1f\n1:" : : : "memory");  // the SMI is taken at the next block edge
    if (smi) {
      for (u32 i = 1; i < cpus_.count; ++i) {
        await_wake(i, before);
      }
      settle();
    }
  }

  /// TSC ticks of one OUT of a byte, the MMI that it may raise on this CPU included. Under `-icount shift=0` a tick is
  /// an instruction. Other CPUs are not waited for.
  u64 timed_out(u16 port, u8 value) noexcept {
    u64 before = 0;
    u64 after = 0;
    asm volatile(
        "rdtsc\n\t"
        "shlq $32, %%rdx\n\t"
        "orq %%rdx, %%rax\n\t"
        "movq %%rax, %[before]\n\t"
        "movzbl %[value], %%eax\n\t"
        "movzwl %[port], %%edx\n\t"
        "outb %%al, %%dx\n\t"
        "jmp 1f\n1:\n\t"
        "rdtsc\n\t"
        "shlq $32, %%rdx\n\t"
        "orq %%rdx, %%rax\n\t"
        "movq %%rax, %[after]"
        : [before] "=&r"(before), [after] "=&r"(after)
        : [value] "r"(value), [port] "r"(port)
        : "rax", "rdx", "memory");
    return after - before;
  }

  Expected<u64> read_msr(u32 msr) noexcept {
    u64 value = 0;
    if (rom_rdmsr(msr, &value) == 0) {
      return std::unexpected(Status::Unsupported);
    }
    return value;
  }
  Expected<void> write_msr(u32 msr, u64 value) noexcept {
    if (rom_wrmsr(msr, value) == 0) {
      return std::unexpected(Status::Unsupported);
    }
    return {};
  }

  void send_smi(u32 apic_id) noexcept {
    Wakes const before = wakes();
    send_smi_ipi(apic_id);
    for (u32 i = 1; i < cpus_.count; ++i) {
      if (cpus_.apic_ids[i] == apic_id) {
        await_wake(i, before);
      }
    }
    settle();
  }

  void emit(abi::FrameKind kind, std::span<std::byte const> payload) noexcept {
    abi::FrameHeader const header{abi::kFrameMagic, static_cast<u8>(kind), static_cast<u16>(payload.size())};
    bare::out_bytes(platform::kPortDebugConsole, std::as_bytes(std::span<abi::FrameHeader const, 1>{&header, 1}));
    bare::out_bytes(platform::kPortDebugConsole, payload);
  }

 private:
  using Wakes = std::array<u32, platform::kMaxCpus>;
  static constexpr u64 kTop = 1ull << 32;
  static constexpr u32 kPollsPerWait = 1000;
  static constexpr u64 kLongestMmiUs = 5'000'000;

  /// How often each AP has come out of HLT: it does so once for each SMI that it has served.
  Wakes wakes() const noexcept {
    Wakes now{};
    for (u32 i = 1; i < cpus_.count; ++i) {
      now[i] = reinterpret_cast<u32 const volatile*>(kApWakes)[cpus_.wake_slot[i]];
    }
    return now;
  }
  void await_wake(u32 cpu, Wakes const& before) const noexcept {
    for (u64 us = 0; us < kLongestMmiUs && wakes()[cpu] == before[cpu]; us += kPollUs) {
      for (u32 poll = 0; poll < kPollsPerWait && wakes()[cpu] == before[cpu]; ++poll) {
        bare::pause();
      }
      if (wakes()[cpu] == before[cpu]) {
        wait_us(kPollUs);
      }
    }
  }
  /// Lets the APs get back into HLT.
  static void settle() noexcept {
    for (u32 i = 0; i < 4; ++i) {
      bare::pause();
    }
  }
  static constexpr u64 kPollUs = 1000;

  CpuSet const& cpus_;
};
static_assert(communication::NormalWorld<NormalWorld> && hal::PhysMemory<NormalWorld>);

}  // namespace mm::rom
