// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/loader/types.hpp"
#include "hal/roles/machine.hpp"

/// GDT, TSS and pseudo-descriptors as the first MMI finds them (supervisor.md 4.2).
namespace mm::loader {

/// GDT template of supervisor.md 4.2 without the base of the TSS descriptor. The call gate's offset is left 0.
inline constexpr std::array<u64, 16> kGdt{
    0,
    0x00CF'9B00'0000'FFFF,  // 0x08 code 32
    0x00CF'9B00'0000'FFFF,  // 0x10 protected-mode code 32
    0x00CF'9300'0000'FFFF,  // 0x18 protected-mode stack 32
    0x00CF'9300'0000'FFFF,  // 0x20 data 32
    0x008F'9B00'0000'FFFF,  // 0x28 code 16
    0x008F'9300'0000'FFFF,  // 0x30 data 16
    0x00AF'9B00'0000'FFFF,  // 0x38 code 64, ring 0
    0x00CF'9300'0000'FFFF,  // 0x40 data, ring 0
    0x00AF'7B00'0000'FFFF,  // 0x48 ring-3 compatibility code, not present
    0x00CF'F300'0000'FFFF,  // 0x50 data, ring 3
    0x00AF'FB00'0000'FFFF,  // 0x58 code 64, ring 3
    0x0000'EC00'0038'0000,  // 0x60 call gate to 0x38
    0,
    0x0000'8900'0000'0067,  // 0x70 TSS: limit 0x67, G = 0
    0,
};

constexpr u64 tss_descriptor_low(u64 base) noexcept {
  return kGdt[14] | (base & 0xFF'FFFF) << 16 | (base >> 24 & 0xFF) << 56;
}

inline constexpr u64 kTssIst1 = 36;
inline constexpr u64 kTssIoMap = 102;
inline constexpr u16 kTssBytes = 104;

/// Writes what LGDT and LIDT take: u16 limit, u64 base.
template <hal::PhysMemory Mem>
void write_pseudo_descriptor(Mem& memory, u64 at, u64 limit, u64 base) noexcept {
  hal::write_object(memory, PhysAddr{at}, static_cast<u16>(limit));
  hal::write_object(memory, PhysAddr{at + 2}, base);
}

/// Fills the zeroed GDT page of one CPU: GDT, TSS with IST1 and an I/O map base that denies every port, and the GDT's
/// own pseudo-descriptor. RSP0 stays 0.
template <hal::PhysMemory Mem>
void write_gdt_page(Mem& memory, u64 page, u64 ist_top) noexcept {
  hal::write_object(memory, PhysAddr{page}, kGdt);
  u64 const tss = page + kTssOffset;
  hal::write_object(memory, PhysAddr{page + 0x70}, tss_descriptor_low(tss));
  hal::write_object(memory, PhysAddr{page + 0x78}, tss >> 32);
  hal::write_object(memory, PhysAddr{tss + kTssIst1}, ist_top);
  hal::write_object(memory, PhysAddr{tss + kTssIoMap}, kTssBytes);
  write_pseudo_descriptor(memory, page + kGdtPseudoOffset, kGdtLimit, page);
}

}  // namespace mm::loader
