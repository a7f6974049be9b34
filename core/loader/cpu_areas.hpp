// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/arch/save_state.hpp"
#include "core/loader/arena.hpp"
#include "core/loader/descriptor_tables.hpp"
#include "core/loader/mmi_entry.hpp"

/// What each CPU has of its own: stacks, descriptor tables, and the tile at its SMBASE with entry code, processor
/// descriptor and save state.
namespace mm::loader {

/// Per CPU {guard, IST stack, guard, ring-0 stack}, then per CPU {guard, CPL3 stack}. The word below the top of a
/// ring-0 stack is the index of its CPU.
template <hal::PhysMemory Mem>
Result<void> make_stacks(Mem& memory, Arena<Mem>& arena, u32 cpus, LoadResult& result) noexcept {
  for (u32 i = 0; i < cpus; ++i) {
    MM_TRY(arena.allocate(1));  // guard
    MM_TRY_ASSIGN(u64 const ist, arena.allocate_mapped(kIstStackBytes >> kPageShift, memory::kSupervisorData));
    MM_TRY(arena.allocate(1));  // guard
    MM_TRY_ASSIGN(u64 const stack, arena.allocate_mapped(kRing0StackBytes >> kPageShift, memory::kSupervisorData));
    result.ist_stack_top[i] = ist + kIstStackBytes;
    result.ring0_stack_top[i] = stack + kRing0StackBytes;
    hal::write_object(memory, PhysAddr{result.ring0_stack_top[i] - 8}, u64{i});
  }
  MM_TRY_ASSIGN(result.cpl3_stack_base, arena.allocate(cpus * (kCpl3StackBytes >> kPageShift)));
  for (u32 i = 0; i < cpus; ++i) {
    // The lowest page of each stack is its guard.
    u64 const guard = result.cpl3_stack_base + i * kCpl3StackBytes;
    MM_TRY(arena.map(Range{guard + kPageSize, kCpl3StackBytes - kPageSize}, memory::kUserData));
  }
  return {};
}

/// GDT pages, the IDT, the page with its descriptor and the SMBASE array, and the page of flags.
template <hal::PhysMemory Mem>
Result<void> make_tables_of_cpus(Mem& memory, Arena<Mem>& arena, u32 cpus, LoadResult& result) noexcept {
  constexpr u64 kIdtLimit = 0xFFF;
  constexpr u64 kArrayOffset = 0x40;
  MM_TRY_ASSIGN(result.gdt0, arena.allocate_mapped(cpus, memory::kSupervisorReadOnly));
  MM_TRY_ASSIGN(result.idt, arena.allocate_mapped(1, memory::kSupervisorReadOnly));
  MM_TRY_ASSIGN(u64 const page, arena.allocate_mapped(1, memory::kSupervisorReadOnly));
  MM_TRY_ASSIGN(result.mm_initialized, arena.allocate_mapped(1, memory::kSupervisorData));
  result.idt_descriptor = page;
  result.smbase_array = page + kArrayOffset;
  write_pseudo_descriptor(memory, result.idt_descriptor, kIdtLimit, result.idt);
  for (u32 i = 0; i < cpus; ++i) {
    result.smbase[i] = arena.mmram().base + i * kTileBytes;
    hal::write_object(memory, PhysAddr{result.smbase_array + 8 * i}, result.smbase[i]);
    write_gdt_page(memory, result.gdt0 + i * kPageSize, result.ist_stack_top[i]);
  }
  return {};
}

/// Selectors that the entry code loads, at the offsets of the TXT processor SMM descriptor.
template <hal::PhysMemory Mem>
void write_processor_descriptor(Mem& memory, u64 at) noexcept {
  constexpr u64 kSelectors = 0x14;
  constexpr u16 kCode = arch::kSupervisorCodeSelector;
  constexpr u16 kData = arch::kSupervisorDataSelector;
  hal::write_object(memory, PhysAddr{at + kSelectors}, std::array{kCode, kData, kData, kData});  // CS, DS, SS, other
}

/// What the entry code of one CPU needs to know. FixUp8[4], reserved in the reference, is CR4.SMAP.
inline MmiEntryFixUps fix_ups_of(BootInput const& input, LoadResult const& result, u32 cpu) noexcept {
  MmiEntryFixUps out;
  out.wide[MmiEntryFixUps::kEntryPoint] = result.supervisor_entry;
  out.wide[MmiEntryFixUps::kIdtDescriptor] = result.idt_descriptor;
  out.wide[MmiEntryFixUps::kHobList] = result.hob_list;
  out.words[MmiEntryFixUps::kGdtDescriptor] = static_cast<u32>(result.gdt0 + cpu * kPageSize + arch::kGdtPseudoOffset);
  out.words[MmiEntryFixUps::kCr3] = static_cast<u32>(result.cr3);
  out.words[MmiEntryFixUps::kStack] = static_cast<u32>(result.ring0_stack_top[cpu] - 8);
  out.words[MmiEntryFixUps::kSmbase] = static_cast<u32>(result.smbase[cpu]);
  out.bytes[MmiEntryFixUps::kXdSupported] = 1;
  out.bytes[MmiEntryFixUps::kSmap] = input.smap != 0 ? 1 : 0;
  return out;
}

/// Fills the tile of each CPU and maps what MM needs of it.
template <hal::PhysMemory Mem>
Result<void> make_tiles(Mem& memory, Arena<Mem>& arena, BootInput const& input, MmiEntryLayout const& layout,
                        LoadResult const& result) noexcept {
  u64 const entry_bytes = pages_for(input.mmi_entry.size()) << kPageShift;
  for (u32 i = 0; i < input.cpus; ++i) {
    u64 const smbase = result.smbase[i];
    memory.zero(PhysAddr{smbase}, kTileBytes);
    memory.write(PhysAddr{smbase + kEntryOffset}, input.mmi_entry);
    write_fix_ups(memory, smbase + kEntryOffset, layout, fix_ups_of(input, result, i));
    write_processor_descriptor(memory, smbase + kPsdOffset);
    MM_TRY(arena.map(Range{smbase + kEntryOffset, entry_bytes}, memory::kSupervisorCode));
    MM_TRY(arena.map(Range{align_down(smbase + kPsdOffset, kPageSize), kPageSize}, memory::kSupervisorData));
  }
  return {};
}

}  // namespace mm::loader
