// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>

#include "core/base/types.hpp"

/// Single instructions as functions. The only inline assembly of the supervisor image.
namespace mm::bare {

inline void out8(u16 port, u8 value) noexcept { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory"); }
inline void out16(u16 port, u16 value) noexcept { asm volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory"); }
inline void out32(u16 port, u32 value) noexcept { asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory"); }
inline u8 in8(u16 port) noexcept {
  u8 value;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
inline u16 in16(u16 port) noexcept {
  u16 value;
  asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
inline u32 in32(u16 port) noexcept {
  u32 value;
  asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
/// Writes the bytes to `port` one after the other (`rep outsb`).
inline void out_bytes(u16 port, std::span<std::byte const> bytes) noexcept {
  void const* from = bytes.data();
  u64 count = bytes.size();
  asm volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}

inline void pause() noexcept { asm volatile("pause" : : : "memory"); }
inline void cli() noexcept { asm volatile("cli" : : : "memory"); }
inline void hlt() noexcept { asm volatile("hlt" : : : "memory"); }
inline void lfence() noexcept { asm volatile("lfence" : : : "memory"); }
inline void wbinvd() noexcept { asm volatile("wbinvd" : : : "memory"); }
inline void stac() noexcept { asm volatile("stac" : : : "memory"); }
inline void clac() noexcept { asm volatile("clac" : : : "memory"); }

inline u64 read_cr0() noexcept {
  u64 value;
  asm volatile("mov %%cr0, %0" : "=r"(value));
  return value;
}
inline void write_cr0(u64 value) noexcept { asm volatile("mov %0, %%cr0" : : "r"(value) : "memory"); }
inline u64 read_cr2() noexcept {
  u64 value;
  asm volatile("mov %%cr2, %0" : "=r"(value));
  return value;
}
inline void write_cr2(u64 value) noexcept { asm volatile("mov %0, %%cr2" : : "r"(value) : "memory"); }
inline u64 read_cr3() noexcept {
  u64 value;
  asm volatile("mov %%cr3, %0" : "=r"(value));
  return value;
}
inline void write_cr3(u64 value) noexcept { asm volatile("mov %0, %%cr3" : : "r"(value) : "memory"); }
inline u64 read_cr4() noexcept {
  u64 value;
  asm volatile("mov %%cr4, %0" : "=r"(value));
  return value;
}

inline void write_cr4(u64 value) noexcept { asm volatile("mov %0, %%cr4" : : "r"(value) : "memory"); }

/// RDMSR/WRMSR of a register that every x86-64 CPU has.
inline u64 read_known_msr(u32 msr) noexcept {
  u32 low;
  u32 high;
  asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
  return static_cast<u64>(high) << 32 | low;
}
inline void write_known_msr(u32 msr, u64 value) noexcept {
  asm volatile("wrmsr" : : "c"(msr), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32)) : "memory");
}
inline u64 read_tsc() noexcept {
  u32 low;
  u32 high;
  asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return static_cast<u64>(high) << 32 | low;
}
/// CPUID.80000008H:EAX[7:0], 36 where the leaf is not there (Intel SDM vol. 3, 4.1.4).
inline u32 physical_address_bits() noexcept {
  u32 a = 0x8000'0000;
  u32 b;
  u32 c = 0;
  u32 d;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  if (a < 0x8000'0008) {
    return 36;
  }
  a = 0x8000'0008;
  c = 0;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return a & 0xFF;
}
/// x87 and SSE state from a 512-byte image, 16-byte aligned.
inline void fxrstor(void const* image) noexcept {
  asm volatile("fxrstor64 %0" : : "m"(*static_cast<std::byte const(*)[512]>(image)) : "memory");
}
/// CPUID.1:EBX[31:24].
inline u32 initial_apic_id() noexcept {
  u32 a = 1;
  u32 b;
  u32 c = 0;
  u32 d;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return b >> 24;
}

struct [[gnu::packed]] DescriptorTable {
  u16 limit = 0;
  u64 base = 0;
};
/// LLDT of the null selector: every selector of a local table is #GP.
inline void load_null_ldt() noexcept { asm volatile("lldt %w0" : : "r"(0)); }
inline DescriptorTable read_gdtr() noexcept {
  DescriptorTable table;
  asm volatile("sgdt %0" : "=m"(table));
  return table;
}
inline DescriptorTable read_idtr() noexcept {
  DescriptorTable table;
  asm volatile("sidt %0" : "=m"(table));
  return table;
}

/// REP MOVSQ for the whole words, REP MOVSB for the rest; DF is clear in ring 0.
inline void copy_bytes(u64 destination, u64 source, u64 bytes) noexcept {
  u64 words = bytes >> 3;
  u64 rest = bytes & 7;
  asm volatile("rep movsq\n\tmov %[rest], %%rcx\n\trep movsb"
               : "+&D"(destination), "+&S"(source), "+&c"(words)
               : [rest] "r"(rest)
               : "memory");
}
inline void zero_bytes(u64 destination, u64 bytes) noexcept {
  u64 words = bytes >> 3;
  u64 rest = bytes & 7;
  asm volatile("rep stosq\n\tmov %[rest], %%rcx\n\trep stosb"
               : "+&D"(destination), "+&c"(words)
               : [rest] "r"(rest), "a"(u64{0})
               : "memory");
}

}  // namespace mm::bare
