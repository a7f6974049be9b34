// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/arch/descriptors.hpp"
#include "hal/roles/machine.hpp"

/// GDT, TSS and pseudo-descriptors as the first MMI finds them (core/abi/ABI.md 8).
namespace mm::loader {

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
  hal::write_object(memory, PhysAddr{page}, arch::kGdt);
  u64 const tss = page + arch::kTssOffset;
  hal::write_object(memory, PhysAddr{page + arch::kTssSelector}, arch::tss_descriptor_low(tss));
  hal::write_object(memory, PhysAddr{page + arch::kTssSelector + 8}, tss >> 32);
  hal::write_object(memory, PhysAddr{tss + arch::kTssIst1}, ist_top);
  hal::write_object(memory, PhysAddr{tss + arch::kTssIoMap}, arch::kTssBytes);
  write_pseudo_descriptor(memory, page + arch::kGdtPseudoOffset, arch::kGdtLimit, page);
}

}  // namespace mm::loader
