// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>

#include "core/arch/save_state.hpp"
#include "core/steps/cpu_state.hpp"
#include "core/steps/program.hpp"
#include "sim/machine/machine.hpp"

/// What a CPU was doing outside MM, and its form in the save state (hal/qemu_rom/Q35.md 4, core/abi/ABI.md 9; Intel SDM
/// vol. 3, 34.4; AMD APM vol. 2, 10.2).
namespace mm::sim {

struct Segment {
  u16 selector = 0;
  u16 attributes = 0;  ///< access rights as bits 8 to 15 and 20 to 23 of the descriptor, the latter in bits 12 to 15
  u32 limit = 0;
  u64 base = 0;
  friend bool operator==(Segment const&, Segment const&) = default;
};
struct TableRegister {
  u64 base = 0;
  u32 limit = 0xFFFF;
};

/// The I/O instruction that raised the MMI of one CPU, or that it was in.
struct IoInstruction {
  u16 port = 0;
  u32 bytes = 1;
  u16 form = 0;         ///< steps::TrappedForm bits
  u32 instruction = 0;  ///< bytes of the instruction
};

/// The registers of one CPU in the normal world.
struct NormalCpu {
  std::array<u64, 16> general{};  ///< in the order of steps::CpuRegister: RAX RCX RDX RBX RSP RBP RSI RDI R8-R15
  u64 rip = 0;                    ///< of the next instruction
  u64 rflags = 2;
  u64 cr0 = 0;
  u64 cr2 = 0;
  u64 cr3 = 0;
  u64 cr4 = 0;
  u64 efer = 0;
  u64 dr6 = 0xFFFF'0FF0;
  u64 dr7 = 0x400;
  std::array<Segment, 6> segments{};  ///< ES CS SS DS FS GS
  Segment ldtr{.attributes = 0x82, .limit = 0xFFFF};
  Segment tr{.attributes = 0x8B, .limit = 0xFFFF};
  TableRegister gdt;
  TableRegister idt;
  u32 smbase = 0x3'0000;
  bool halted = false;  ///< in HLT
  bool waits_for_startup = false;
  bool mmi_held_back = false;           ///< one came while it waited
  std::optional<IoInstruction> parked;  ///< what it executes over and over

  /// The boot processor running the ROM's payload, another CPU waiting in the ROM, and any CPU after INIT.
  static NormalCpu boot_processor() noexcept;
  static NormalCpu waiting(u32 apic_id) noexcept;
  static NormalCpu after_init() noexcept;
  /// Takes over what a step can set; segments are loaded from the ROM's GDT. RIP is that of the instruction.
  void assign(steps::CpuState const& state) noexcept;
  /// The inverse, for all but CpuRegister::Rip and Form.
  void store(steps::CpuState& state) const noexcept;
  /// Puts the CPU into `io`; a string instruction takes its data from RSI.
  void park(IoInstruction const& io, u64 rsi) noexcept;
  /// A CPU other than the boot processor goes on in the ROM's code, and waits.
  void settle(u32 apic_id) noexcept;
};

/// What the layout of a machine records.
struct SaveStateFormat {
  SaveStateLayout layout = SaveStateLayout::Amd64;
  bool complete = false;  ///< I/O record, I/O restart and auto-halt restart; QEMU writes and honours none of them
};

using SaveStateArea = std::span<std::byte, arch::save_state::kBytes>;

/// Fills the map at entry. `io`: null when this CPU executed none.
void write_save_state(SaveStateArea area, NormalCpu const& cpu, IoInstruction const* io,
                      SaveStateFormat format) noexcept;
/// What RSM loads. True: the I/O instruction is to be executed again. What a layout does not have stays in `cpu`.
bool read_save_state(SaveStateArea area, NormalCpu& cpu, SaveStateFormat format) noexcept;

/// What a relocation handler does.
void set_smbase(SaveStateArea area, u32 smbase, SaveStateFormat format) noexcept;

}  // namespace mm::sim
