// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/communication/normal_world.hpp"
#include "core/steps/cpu_state.hpp"
#include "core/steps/world.hpp"
#include "hal/bare/instructions.hpp"
#include "hal/qemu_rom/border_check.hpp"
#include "hal/qemu_rom/chipset.hpp"
#include "hal/qemu_rom/layout.hpp"
#include "hal/roles/machine.hpp"

namespace mm::rom {

extern "C" {
/// 1, or 0 when the CPU raised #GP.
u64 rom_rdmsr(u32 msr, u64* value) noexcept;
u64 rom_wrmsr(u32 msr, u64 value) noexcept;
/// Runs the program that raises MMIs, with these registers; its code ends by a jump to the second function.
void rom_run_program() noexcept;
void rom_program_back() noexcept;
extern u64 rom_program_registers[steps::kCpuRegisters];
}

/// The CPUs of the machine: [0] is the BSP, then the APs by rising APIC ID.
struct CpuSet {
  u32 count = 1;
  std::array<u32, platform::kMaxCpus> apic_ids{};
};

/// hal::PhysMemory and steps::StepWorld on the BSP outside MM.
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
  /// Writes; beyond 4 GiB they are dropped. The APIC takes aligned dwords only.
  void write(PhysAddr at, std::span<std::byte const> out) noexcept {
    u64 const addr = raw(at);
    if (Range{arch::kApicPage, kPageSize}.contains({addr, out.size()})) {
      return write_apic(addr, out);
    }
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
      case abi::IoWidth::Dword:
        break;
    }
    return bare::in32(port);
  }
  void port_out(u16 port, abi::IoWidth width, u32 value) noexcept {
    bool const apm = port == platform::kPortApmCnt;
    bool const smi = apm && (value & 0xFF) != 2 && (value & 0xFF) != 3;
    Wakes const before = wakes();
    if (apm && width == abi::IoWidth::Byte) {
      BorderCheck border(rom_program_registers[static_cast<u32>(steps::CpuRegister::Cr2)]);
      command(static_cast<u8>(value));
      tell(border.end());
    } else {
      plain_out(port, width, value);
    }
    if (port == kPm1Control && (value & kSleepEnable) != 0) {
      wait_us(kPowerOffUs);  // the machine goes off behind this instruction, not in it
    }
    if (smi) {
      for (u32 i = 1; i < cpus_.count; ++i) {
        await_wake(i, before);
      }
      settle();
    }
  }

  /// An MMI at whose entry an NMI is pending.
  void raise_with_nmi(u8 value) noexcept {
    Wakes const before = wakes();
    command(value, true);
    for (u32 i = 1; i < cpus_.count; ++i) {
      await_wake(i, before);
    }
    settle();
  }

  steps::CpuState cpu_state() const noexcept {
    steps::CpuState state;
    for (u32 i = 0; i < steps::kCpuRegisters; ++i) {
      state.values[i] = rom_program_registers[i];
    }
    return state;
  }
  void set_later_loads(steps::LaterLoads const& later) noexcept { later_ = later; }
  /// `state` is runnable. Tables that are not the ROM's own start with a copy of its level 4.
  void set_cpu_state(steps::CpuState const& state) noexcept {
    for (u32 i = 0; i < steps::kCpuRegisters; ++i) {
      rom_program_registers[i] = state.values[i];
    }
    u64 const tables = state[steps::CpuRegister::Cr3] & ~u64{0xFFF};
    if (tables != platform::kRomWork) {
      bare::copy_bytes(tables, platform::kRomWork, kPageSize);
    }
  }

 private:
  /// One line of text, which fails the run.
  void tell(BorderCheck::Change const& change) noexcept {
    if (change.name == nullptr) {
      return;
    }
    std::array<char, 120> line{};
    char* to = line.data();
    auto const word = [&to](char const* from) noexcept {
      while (*from != 0) {
        *to++ = *from++;
      }
    };
    auto const number = [&to](u64 value) noexcept {
      for (int shift = 60; shift >= 0; shift -= 4) {
        *to++ = "0123456789abcdef"[value >> shift & 15];
      }
    };
    word("register ");
    word(change.name);
    word(" was 0x");
    number(change.before);
    word(" before an MMI and 0x");
    number(change.after);
    word(" after it");
    emit(abi::FrameKind::Text, std::as_bytes(std::span<char const>{line.data(), to}));
  }
  static void plain_out(u16 port, abi::IoWidth width, u32 value) noexcept {
    switch (width) {
      case abi::IoWidth::Byte:
        bare::out8(port, static_cast<u8>(value));
        break;
      case abi::IoWidth::Word:
        bare::out16(port, static_cast<u16>(value));
        break;
      case abi::IoWidth::Dword:
        bare::out32(port, value);
        break;
    }
    asm volatile("jmp 1f\n1:" : : : "memory");  // the SMI is taken at the next block edge
  }
  /// The program writes `value` to 0xB2.
  void command(u8 value, bool with_nmi = false) noexcept {
    steps::CpuState const state = steps::with_command(cpu_state(), value);
    set_cpu_state(state);
    run(steps::out_code(static_cast<steps::OutForm>(state[steps::CpuRegister::Form]),
                        reinterpret_cast<u64>(&rom_program_back), later_, with_nmi));
  }
  void run(steps::MmiCode const& code) noexcept {
    u64 const at = rom_program_registers[static_cast<u32>(steps::CpuRegister::Rip)];
    bare::copy_bytes(at, reinterpret_cast<u64>(code.bytes.data()), code.size);
    rom_run_program();
  }

 public:
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

  /// An SMI to the boot processor itself is sent by the program, so that it is the program's registers that MM saves.
  void send_ipi(u32 destination, u32 command) noexcept {
    using arch::DeliveryMode;
    Wakes const before = wakes();
    bool const smi = arch::delivery_mode(command) == DeliveryMode::Smi;
    u32 const sender = cpus_.apic_ids[0];
    if (smi && arch::is_target(command, destination, sender, sender)) {
      set_ipi_destination(destination);
      run(steps::icr_code(command, reinterpret_cast<u64>(&rom_program_back)));
    } else {
      rom::send_ipi(destination, command);
    }
    if (!smi) {
      wait_us(kStartUs);
      return;
    }
    for (u32 i = 1; i < cpus_.count; ++i) {
      if (arch::is_target(command, destination, cpus_.apic_ids[i], sender)) {
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
  static constexpr u16 kPm1Control = platform::kPmBase + 4;
  static constexpr u32 kSleepEnable = 1u << 13;
  static constexpr u64 kPowerOffUs = 1'000'000;
  static constexpr u64 kLongestMmiUs = 5'000'000;
  static constexpr u64 kStartUs = 1000;  ///< for a CPU to reach its waiting place after INIT or SIPI

  void write_apic(u64 addr, std::span<std::byte const> out) noexcept {
    for (std::size_t i = 0; i + 4 <= out.size() && addr % 4 == 0; i += 4) {
      u32 value = 0;
      __builtin_memcpy(&value, out.data() + i, 4);
      u64 const to = addr + i;
      if (to == arch::kApicPage + arch::kApicIcrLow) {
        send_ipi(*reinterpret_cast<u32 volatile*>(arch::kApicPage + arch::kApicIcrHigh) >> 24, value);
      } else {
        *reinterpret_cast<u32 volatile*>(to) = value;
      }
    }
  }
  /// How often each AP has come to its waiting place: it does so once for each SMI that it has served.
  Wakes wakes() const noexcept {
    Wakes now{};
    for (u32 i = 1; i < cpus_.count; ++i) {
      now[i] = reinterpret_cast<u32 const volatile*>(kApWakes)[cpus_.apic_ids[i]];
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
  steps::LaterLoads later_;
};
static_assert(steps::StepWorld<NormalWorld> && hal::PhysMemory<NormalWorld>);

}  // namespace mm::rom
