// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/save_state_map.hpp"

#include <cstring>

namespace mm::sim {
namespace {

using namespace arch::save_state;
using steps::CpuRegister;
using steps::TrappedForm;

constexpr u32 kEs = 0, kCs = 1;
constexpr u32 kRevisionQemu = 0x2'0064, kRevisionAmd = 0x3'0064, kRevisionIntel = 0x3'0004;

/// The registers stand in the order of NormalCpu::general.
constexpr std::array kGeneral{Register::Rax, Register::Rcx, Register::Rdx, Register::Rbx, Register::Rsp, Register::Rbp,
                              Register::Rsi, Register::Rdi, Register::R8,  Register::R9,  Register::R10, Register::R11,
                              Register::R12, Register::R13, Register::R14, Register::R15};
/// The registers stand in the order of NormalCpu::segments.
constexpr std::array kSegments{Register::Es, Register::Cs, Register::Ss, Register::Ds, Register::Fs, Register::Gs};

constexpr u64 amd_at(Register name) noexcept { return place(name, Layout::Amd64).offset; }
constexpr u64 intel_at(Register name) noexcept { return place(name, Layout::Intel).offset; }

/// Both directions of a map: each field is named once.
class Store {
 public:
  explicit Store(SaveStateArea area) noexcept : area_(area) {}
  template <typename T>
  void field(u64 at, u64 bytes, T& value) noexcept {
    u64 const wide = value;
    std::memcpy(area_.data() + at, &wide, bytes);
  }
  void halves(Halves at, u64& value) noexcept {
    u64 upper = value >> 32;
    field(at.low, 4, value);
    field(at.high, 4, upper);
  }

 private:
  SaveStateArea area_;
};
class Load {
 public:
  explicit Load(SaveStateArea area) noexcept : area_(area) {}
  template <typename T>
  void field(u64 at, u64 bytes, T& value) noexcept {
    u64 wide = 0;
    std::memcpy(&wide, area_.data() + at, bytes);
    value = static_cast<T>(wide);
  }
  void halves(Halves at, u64& value) noexcept {
    u64 upper = 0;
    field(at.low, 4, value);
    field(at.high, 4, upper);
    value |= upper << 32;
  }

 private:
  SaveStateArea area_;
};

template <typename Map>
void descriptor(Map& map, u64 at, Segment& s) noexcept {
  map.field(at, 2, s.selector);
  map.field(at + 2, 2, s.attributes);
  map.field(at + 4, 4, s.limit);
  map.field(at + 8, 8, s.base);
}

/// AMD64 as QEMU has it: CR0, CR4, DR6, DR7, RFLAGS and SMBASE as 32 bits, limits of tables too.
template <typename Map>
void amd64(Map& map, NormalCpu& c) noexcept {
  for (u32 i = 0; i < kSegments.size(); ++i) {
    descriptor(map, amd_at(kSegments[i]), c.segments[i]);
  }
  map.field(amd_at(Register::GdtLimit), 4, c.gdt.limit);
  map.field(amd_at(Register::GdtBase), 8, c.gdt.base);
  descriptor(map, amd_at(Register::Ldtr), c.ldtr);
  map.field(amd_at(Register::IdtLimit), 4, c.idt.limit);
  map.field(amd_at(Register::IdtBase), 8, c.idt.base);
  descriptor(map, amd_at(Register::Tr), c.tr);
  map.field(kAmd64Control.efer.offset, 8, c.efer);
  map.field(kAmd64Control.smbase.offset, 4, c.smbase);
  map.field(amd_at(Register::Cr4), 4, c.cr4);
  map.field(amd_at(Register::Cr3), 8, c.cr3);
  map.field(amd_at(Register::Cr0), 4, c.cr0);
  map.field(amd_at(Register::Dr7), 4, c.dr7);
  map.field(amd_at(Register::Dr6), 4, c.dr6);
  map.field(amd_at(Register::Rflags), 4, c.rflags);
  map.field(amd_at(Register::Rip), 8, c.rip);
  for (u32 i = 0; i < kGeneral.size(); ++i) {
    map.field(amd_at(kGeneral[i]), 8, c.general[i]);
  }
}

/// Attributes, limits and bases of segments are in fields that the manual reserves: they stay with the CPU.
template <typename Map>
void intel(Map& map, NormalCpu& c) noexcept {
  map.halves(kIntelGdtBase, c.gdt.base);
  map.halves(kIntelLdtBase, c.ldtr.base);
  map.halves(kIntelIdtBase, c.idt.base);
  map.field(intel_at(Register::Cr4), 4, c.cr4);
  map.field(kIntelControl.smbase.offset, 4, c.smbase);
  for (u32 i = 0; i < kGeneral.size(); ++i) {
    map.field(intel_at(kGeneral[i]), 8, c.general[i]);
  }
  for (u32 i = 0; i < kSegments.size(); ++i) {
    map.field(intel_at(kSegments[i]), 2, c.segments[i].selector);
  }
  map.field(intel_at(Register::Ldtr), 2, c.ldtr.selector);
  map.field(intel_at(Register::Tr), 2, c.tr.selector);
  map.field(intel_at(Register::Dr7), 8, c.dr7);
  map.field(intel_at(Register::Dr6), 8, c.dr6);
  map.field(intel_at(Register::Rip), 8, c.rip);
  map.field(kIntelControl.efer.offset, 8, c.efer);
  map.field(intel_at(Register::Rflags), 8, c.rflags);
  map.field(intel_at(Register::Cr3), 8, c.cr3);
  map.field(intel_at(Register::Cr0), 8, c.cr0);
}

u32 amd_io_word(IoInstruction const& io) noexcept {
  static_assert(TrappedForm::kIn == kAmdIoIn);
  u32 const size = io.bytes == 1 ? kAmdIoByte : io.bytes == 2 ? kAmdIoWord : kAmdIoDword;
  u32 const string = (io.form & TrappedForm::kString) != 0 ? kAmdIoString : 0u;
  return u32{io.port} << 16 | size | string | kAmdIoValid | (io.form & TrappedForm::kIn);
}
u32 intel_io_word(IoInstruction const& io) noexcept {
  return u32{io.port} << 16 | u32{io.form} << kIntelIoKind | io.bytes << kIntelIoLength | kIntelIoValid;
}

Segment rom_segment(u64 selector) noexcept {
  switch (selector) {
    case 0x08:
      return {0x08, 0xC09B, 0xFFFF'FFFF, 0};
    case 0x10:
      return {0x10, 0xC093, 0xFFFF'FFFF, 0};
    case 0x18:
      return {0x18, 0xA09B, 0xFFFF'FFFF, 0};
    default:
      return {};
  }
}

}  // namespace

NormalCpu NormalCpu::after_init() noexcept {
  NormalCpu c;
  c.cr0 = 0x6000'0010;
  c.rip = 0xFFF0;
  c.segments.fill({.selector = 0, .attributes = 0x93, .limit = 0xFFFF, .base = 0});
  c.segments[kCs] = {.selector = 0xF000, .attributes = 0x9B, .limit = 0xFFFF, .base = 0xFFFF'0000};
  return c;
}

NormalCpu NormalCpu::waiting(u32 apic_id) noexcept {
  constexpr std::size_t kRsi = 6;
  NormalCpu c = after_init();
  c.cr0 = 0x11;
  c.rip = platform::kRomApWaits;
  c.rflags = 0x46;
  c.general[kRsi] = apic_id;
  for (u32 i = kEs; i < 4; ++i) {
    c.segments[i] = rom_segment(i == kCs ? 0x08 : 0x10);
  }
  c.gdt = {platform::kRomGdt, 0x1F};
  c.halted = true;
  return c;
}

NormalCpu NormalCpu::boot_processor() noexcept {
  NormalCpu c = after_init();
  c.gdt = {platform::kRomGdt, 0x1F};
  c.idt = {platform::kRomIdt, 0x1FF};
  c.assign(steps::initial_cpu_state());
  return c;
}

void NormalCpu::assign(steps::CpuState const& s) noexcept {
  for (u32 i = 0; i < general.size(); ++i) {
    general[i] = s.values[i];
  }
  rip = s[CpuRegister::Rip];
  rflags = s[CpuRegister::Rflags];
  cr0 = s[CpuRegister::Cr0];
  cr2 = s[CpuRegister::Cr2];
  cr3 = s[CpuRegister::Cr3];
  cr4 = s[CpuRegister::Cr4];
  efer = s[CpuRegister::Efer];
  for (u32 i = 0; i < segments.size(); ++i) {
    segments[i] = rom_segment(s.values[static_cast<u32>(CpuRegister::Es) + i]);
  }
  segments[4].base = s[CpuRegister::FsBase];
  segments[5].base = s[CpuRegister::GsBase];
}

void NormalCpu::store(steps::CpuState& s) const noexcept {
  for (u32 i = 0; i < general.size(); ++i) {
    s.values[i] = general[i];
  }
  s[CpuRegister::Rflags] = rflags;
  s[CpuRegister::Cr0] = cr0;
  s[CpuRegister::Cr2] = cr2;
  s[CpuRegister::Cr3] = cr3;
  s[CpuRegister::Cr4] = cr4;
  s[CpuRegister::Efer] = efer;
  for (u32 i = 0; i < segments.size(); ++i) {
    s.values[static_cast<u32>(CpuRegister::Es) + i] = segments[i].selector;
  }
  s[CpuRegister::FsBase] = segments[4].base;
  s[CpuRegister::GsBase] = segments[5].base;
}

void NormalCpu::park(IoInstruction const& io, u64 rsi) noexcept {
  constexpr std::size_t kRdx = 2, kRsi = 6;
  parked = io;
  general[kRdx] = io.port;
  general[kRsi] = rsi;
  rip = platform::kRomMmiCode + io.instruction;
  halted = false;
}

/// From the reset vector the ROM goes to the place where CPUs wait; a CPU that came out of its HLT goes back to it.
void NormalCpu::settle(u32 apic_id) noexcept {
  NormalCpu const reset = after_init();
  bool const at_reset = rip == reset.rip && segments[kCs] == reset.segments[kCs];
  if (at_reset || (rip == platform::kRomApWaits && !halted)) {
    u32 const base = smbase;
    *this = waiting(apic_id);
    smbase = base;
  }
}

void write_save_state(SaveStateArea area, NormalCpu const& cpu, IoInstruction const* io,
                      SaveStateFormat format) noexcept {
  Store map(area);
  NormalCpu source = cpu;
  u32 const zero = 0;
  if (format.layout == SaveStateLayout::Intel) {
    intel(map, source);
    u32 const word = io != nullptr ? intel_io_word(*io) : 0;
    u64 const instruction = io != nullptr ? cpu.rip - io->instruction : 0;
    u32 const halted = cpu.halted ? 1 : 0;
    map.field(kRevision.offset, 4, kRevisionIntel);
    map.field(kIntelControl.io.offset, 4, word);
    map.field(kIntelIoRip.offset, 8, instruction);
    map.field(kIntelControl.io_restart.offset, 2, zero);
    map.field(kIntelControl.halt_restart.offset, 2, halted);
    return;
  }
  amd64(map, source);
  map.field(kRevision.offset, 4, format.complete ? kRevisionAmd : kRevisionQemu);
  if (format.complete) {
    u32 const word = io != nullptr ? amd_io_word(*io) : 0;
    u32 const halted = cpu.halted ? kRestart : 0;
    map.field(kAmd64Control.io.offset, 4, word);
    map.field(kAmd64Control.io_restart.offset, 1, zero);
    map.field(kAmd64Control.halt_restart.offset, 1, halted);
  }
}

void set_smbase(SaveStateArea area, u32 smbase, SaveStateFormat format) noexcept {
  Store(area).field(control(format.layout).smbase.offset, 4, smbase);
}

bool read_save_state(SaveStateArea area, NormalCpu& cpu, SaveStateFormat format) noexcept {
  Load map(area);
  u8 io_restart = 0;
  u8 halt_restart = 0;
  if (format.layout == SaveStateLayout::Intel) {
    intel(map, cpu);
  } else {
    amd64(map, cpu);
  }
  if (!format.complete) {
    return false;
  }
  map.field(control(format.layout).io_restart.offset, 1, io_restart);
  map.field(control(format.layout).halt_restart.offset, 1, halt_restart);
  cpu.halted = (halt_restart & 1) != 0;
  return io_restart == kRestart;
}

}  // namespace mm::sim
