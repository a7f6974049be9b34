// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/save_state_map.hpp"

#include <cstring>

namespace mm::sim {
namespace {

using communication::CpuRegister;
using communication::TrappedForm;

constexpr u32 kEs = 0, kCs = 1;
constexpr u64 kRevision = 0x2FC;
constexpr u64 kAmdSmbase = 0x300, kIntelSmbase = 0x2F8;
constexpr u64 kAmdIo = 0x2C0, kAmdIoRestart = 0x2C8, kAmdHaltRestart = 0x2C9;
constexpr u64 kIntelIo = 0x3A4, kIntelIoRip = 0x1E8, kIntelIoRestart = 0x300, kIntelHaltRestart = 0x302;
constexpr u32 kRevisionQemu = 0x2'0064, kRevisionAmd = 0x3'0064, kRevisionIntel = 0x3'0004;
constexpr u8 kRestart = 0xFF;

/// Both directions of a map: each field is named once.
class Store {
 public:
  explicit Store(SaveStateArea area) noexcept : area_(area) {}
  template <typename T>
  void field(u64 at, u64 bytes, T& value) noexcept {
    u64 const wide = value;
    std::memcpy(area_.data() + at, &wide, bytes);
  }
  void halves(u64 low, u64 high, u64& value) noexcept {
    u64 upper = value >> 32;
    field(low, 4, value);
    field(high, 4, upper);
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
  void halves(u64 low, u64 high, u64& value) noexcept {
    u64 upper = 0;
    field(low, 4, value);
    field(high, 4, upper);
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

/// AMD64 as QEMU has it: CR0, CR4, DR6, DR7, RFLAGS and SMBASE as 32 bits.
template <typename Map>
void amd64(Map& map, NormalCpu& c) noexcept {
  constexpr std::array<u64, 16> kGeneral{0x3F8, 0x3F0, 0x3E8, 0x3E0, 0x3D8, 0x3D0, 0x3C8, 0x3C0,
                                         0x3B8, 0x3B0, 0x3A8, 0x3A0, 0x398, 0x390, 0x388, 0x380};
  for (u32 i = 0; i < 6; ++i) {
    descriptor(map, 0x200 + 16 * i, c.segments[i]);
  }
  map.field(0x264, 4, c.gdt.limit);
  map.field(0x268, 8, c.gdt.base);
  descriptor(map, 0x270, c.ldtr);
  map.field(0x284, 4, c.idt.limit);
  map.field(0x288, 8, c.idt.base);
  descriptor(map, 0x290, c.tr);
  map.field(0x2D0, 8, c.efer);
  map.field(kAmdSmbase, 4, c.smbase);
  map.field(0x348, 4, c.cr4);
  map.field(0x350, 8, c.cr3);
  map.field(0x358, 4, c.cr0);
  map.field(0x360, 4, c.dr7);
  map.field(0x368, 4, c.dr6);
  map.field(0x370, 4, c.rflags);
  map.field(0x378, 8, c.rip);
  for (u32 i = 0; i < 16; ++i) {
    map.field(kGeneral[i], 8, c.general[i]);
  }
}

/// Attributes, limits and bases of segments are in fields that the manual reserves: they stay with the CPU.
template <typename Map>
void intel(Map& map, NormalCpu& c) noexcept {
  constexpr std::array<u64, 16> kGeneral{0x35C, 0x364, 0x36C, 0x374, 0x37C, 0x384, 0x38C, 0x394,
                                         0x354, 0x34C, 0x344, 0x33C, 0x334, 0x32C, 0x324, 0x31C};
  map.halves(0x28C, 0x1D0, c.gdt.base);
  map.halves(0x29C, 0x1D4, c.ldtr.base);
  map.halves(0x294, 0x1D8, c.idt.base);
  map.field(0x240, 4, c.cr4);
  map.field(kIntelSmbase, 4, c.smbase);
  for (u32 i = 0; i < 16; ++i) {
    map.field(kGeneral[i], 8, c.general[i]);
  }
  for (u32 i = 0; i < 6; ++i) {
    map.field(0x3A8 + 4 * i, 2, c.segments[i].selector);
  }
  map.field(0x3C0, 2, c.ldtr.selector);
  map.field(0x3C4, 2, c.tr.selector);
  map.field(0x3C8, 8, c.dr7);
  map.field(0x3D0, 8, c.dr6);
  map.field(0x3D8, 8, c.rip);
  map.field(0x3E0, 8, c.efer);
  map.field(0x3E8, 8, c.rflags);
  map.field(0x3F0, 8, c.cr3);
  map.field(0x3F8, 8, c.cr0);
}

u32 amd_io_word(IoInstruction const& io) noexcept {
  u32 const size = io.bytes == 1 ? 0x10u : io.bytes == 2 ? 0x20u : 0x40u;
  u32 const string = (io.form & TrappedForm::kString) != 0 ? 4u : 0u;
  return u32{io.port} << 16 | size | string | 2 | (io.form & TrappedForm::kIn);
}
u32 intel_io_word(IoInstruction const& io) noexcept {
  return u32{io.port} << 16 | u32{io.form} << 4 | io.bytes << 1 | 1;
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
  c.assign(communication::initial_cpu_state());
  return c;
}

void NormalCpu::assign(communication::CpuState const& s) noexcept {
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

void NormalCpu::store(communication::CpuState& s) const noexcept {
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
    map.field(kRevision, 4, kRevisionIntel);
    map.field(kIntelIo, 4, word);
    map.field(kIntelIoRip, 8, instruction);
    map.field(kIntelIoRestart, 2, zero);
    map.field(kIntelHaltRestart, 2, halted);
    return;
  }
  amd64(map, source);
  map.field(kRevision, 4, format.complete ? kRevisionAmd : kRevisionQemu);
  if (format.complete) {
    u32 const word = io != nullptr ? amd_io_word(*io) : 0;
    u32 const halted = cpu.halted ? kRestart : 0;
    map.field(kAmdIo, 4, word);
    map.field(kAmdIoRestart, 1, zero);
    map.field(kAmdHaltRestart, 1, halted);
  }
}

void set_smbase(SaveStateArea area, u32 smbase, SaveStateFormat format) noexcept {
  Store(area).field(format.layout == SaveStateLayout::Intel ? kIntelSmbase : kAmdSmbase, 4, smbase);
}

bool read_save_state(SaveStateArea area, NormalCpu& cpu, SaveStateFormat format) noexcept {
  Load map(area);
  bool const is_intel = format.layout == SaveStateLayout::Intel;
  u8 io_restart = 0;
  u8 halt_restart = 0;
  if (is_intel) {
    intel(map, cpu);
  } else {
    amd64(map, cpu);
  }
  if (!format.complete) {
    return false;
  }
  map.field(is_intel ? kIntelIoRestart : kAmdIoRestart, 1, io_restart);
  map.field(is_intel ? kIntelHaltRestart : kAmdHaltRestart, 1, halt_restart);
  cpu.halted = (halt_restart & 1) != 0;
  return io_restart == kRestart;
}

}  // namespace mm::sim
