// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <bit>

#include "core/abi/platform.hpp"
#include "core/arch/ipi.hpp"

/// The CPU of the program that the normal world runs: the boot processor's registers when an MMI is raised, and what
/// RSM gave back. The same in the simulator and in the ROM payload.
namespace mm::steps {

enum class CpuRegister : u32 {
  Rax,
  Rcx,
  Rdx,
  Rbx,
  Rsp,
  Rbp,
  Rsi,
  Rdi,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  Rip,  ///< of the instruction that raises the MMI
  Rflags,
  Cr0,
  Cr2,
  Cr3,
  Cr4,
  Efer,
  Es,  ///< selectors, in the order of a save state
  Cs,
  Ss,
  Ds,
  Fs,
  Gs,
  FsBase,
  GsBase,
  Form,  ///< of the OUT to 0xB2: OutForm
};
inline constexpr u32 kCpuRegisters = 32;

enum class OutForm : u64 { Immediate = 0, Dx = 1 };

/// One value a register.
struct CpuState {
  std::array<u64, kCpuRegisters> values{};

  constexpr u64& operator[](CpuRegister r) noexcept { return values[static_cast<u32>(r)]; }
  constexpr u64 operator[](CpuRegister r) const noexcept { return values[static_cast<u32>(r)]; }
  friend constexpr bool operator==(CpuState const&, CpuState const&) = default;
};
static_assert(sizeof(CpuState) == 256);

/// What the program loads behind the OUT to 0xB2, one instruction a register. An MMI that is late finds it done.
struct LaterLoads {
  static constexpr u32 kGeneral = 16;
  static constexpr u32 kMost = 4;
  u32 mask = 0;  ///< bit = CpuRegister
  std::array<u64, kGeneral> values{};

  constexpr u32 count() const noexcept { return static_cast<u32>(std::popcount(mask)); }
  constexpr bool loads(u32 r) const noexcept { return (mask >> r & 1) != 0; }
  /// General registers but RSP, at most kMost of them.
  constexpr bool is_loadable() const noexcept {
    constexpr u32 kFree = 0xFFFF & ~(1u << static_cast<u32>(CpuRegister::Rsp));
    return (mask & ~kFree) == 0 && count() <= kMost;
  }
};
inline constexpr u32 kLoadBytes = 10;  ///< of one such instruction

inline constexpr u64 kMostMmiCodeBytes = 80;

/// What the ROM's reset code sets up.
constexpr CpuState initial_cpu_state() noexcept {
  CpuState s;
  s[CpuRegister::Rip] = platform::kRomMmiCode;
  s[CpuRegister::Rflags] = 2;
  s[CpuRegister::Cr0] = 0x8001'0033;
  s[CpuRegister::Cr3] = platform::kRomWork;
  s[CpuRegister::Cr4] = 0x620;
  s[CpuRegister::Efer] = 0xD00;
  for (auto r : {CpuRegister::Es, CpuRegister::Ss, CpuRegister::Ds, CpuRegister::Fs, CpuRegister::Gs}) {
    s[r] = 0x10;
  }
  s[CpuRegister::Cs] = 0x18;
  return s;
}

/// Code and page tables of the program may be the ROM's own or in the scratch region.
constexpr bool in_scratch(u64 address, u64 bytes) noexcept {
  return Range{platform::kScratch, platform::kScratchSize}.contains({address, bytes});
}

/// Whether the payload can run with these registers: 64-bit paging, interrupts off, no single step, flat segments.
constexpr bool is_runnable(CpuState const& s) noexcept {
  constexpr u64 kCr0Free = 0x5'002E, kCr0Set = 0x8000'0011;
  constexpr u64 kCr4Free = 0x30'0FDC, kCr4Set = 0x20;
  constexpr u64 kEferFree = 0x801, kEferSet = 0x500;
  constexpr u64 kFlagsFree = 0x24'7CD5, kFlagsSet = 2;
  constexpr u64 kCr3Free = 0x18;
  auto const bits = [&s](CpuRegister r, u64 may, u64 must) { return (s[r] & ~may) == must; };
  auto const data = [&s](CpuRegister r) { return s[r] <= 0x18 && s[r] % 8 == 0; };
  auto const canonical = [&s](CpuRegister r) { return s[r] < (u64{1} << 47) || s[r] >= ~u64{0} - (u64{1} << 47) + 1; };
  u64 const tables = s[CpuRegister::Cr3] & ~u64{0xFFF};
  return bits(CpuRegister::Cr0, kCr0Free, kCr0Set) && bits(CpuRegister::Cr4, kCr4Free, kCr4Set) &&
         bits(CpuRegister::Efer, kEferFree, kEferSet) && bits(CpuRegister::Rflags, kFlagsFree, kFlagsSet) &&
         bits(CpuRegister::Cr3, kCr3Free, tables) && (tables == platform::kRomWork || in_scratch(tables, kPageSize)) &&
         (s[CpuRegister::Rip] == platform::kRomMmiCode || in_scratch(s[CpuRegister::Rip], kMostMmiCodeBytes)) &&
         s[CpuRegister::Cs] == 0x18 && (s[CpuRegister::Ss] == 0 || s[CpuRegister::Ss] == 0x10) &&
         data(CpuRegister::Es) && data(CpuRegister::Ds) && data(CpuRegister::Fs) && data(CpuRegister::Gs) &&
         canonical(CpuRegister::FsBase) && canonical(CpuRegister::GsBase) &&
         s[CpuRegister::Form] <= static_cast<u64>(OutForm::Dx);
}

/// The instructions at Rip: the one that raises the MMI, what is loaded behind it, a jump, so that QEMU takes the MMI
/// there (hal/qemu_rom/Q35.md 5, trap 1), and the way back to the payload.
struct MmiCode {
  std::array<u8, kMostMmiCodeBytes> bytes{};
  u32 size = 0;
  u32 instruction = 0;  ///< bytes of the first one

  template <typename... B>
  constexpr void add(B... b) noexcept {
    ((bytes[size++] = static_cast<u8>(b)), ...);
  }
  constexpr void add_int(u64 value, u32 width) noexcept {
    for (u32 i = 0; i < width; ++i) {
      add(value >> (8 * i));
    }
  }
  /// `back`: where the payload goes on; the simulator has no such place and writes 0.
  constexpr void end(u64 back) noexcept {
    instruction = size;
    add(0xEB, 0x00);                          // jmp $+2
    add(0xFF, 0x25, 0x00, 0x00, 0x00, 0x00);  // jmp [rip]
    add_int(back, 8);
  }
};
/// mov r64, imm64 for each register.
constexpr void add_loads(MmiCode& code, LaterLoads const& later) noexcept {
  for (u32 r = 0; r < LaterLoads::kGeneral; ++r) {
    if (later.loads(r)) {
      code.add(0x48 | r >> 3, 0xB8 | (r & 7));
      code.add_int(later.values[r], 8);
    }
  }
}
/// mov dword [a32 ICR], imm32: sends an IPI with no register.
constexpr void add_icr_write(MmiCode& code, u32 command) noexcept {
  code.add(0x67, 0xC7, 0x04, 0x25);
  code.add_int(arch::kApicPage + arch::kApicIcrLow, 4);
  code.add_int(command, 4);
}
/// `with_nmi`: an NMI to the CPU itself comes first; the MMI is taken before it.
constexpr MmiCode out_code(OutForm form, u64 back, LaterLoads const& later = LaterLoads(),
                           bool with_nmi = false) noexcept {
  MmiCode code;
  if (with_nmi) {
    add_icr_write(code, arch::ipi_command(arch::DeliveryMode::Nmi, arch::Shorthand::Self));
  }
  if (form == OutForm::Immediate) {
    code.add(0xE6, platform::kPortApmCnt);
  } else {
    code.add(0xEE);
  }
  u32 const instruction = code.size;
  add_loads(code, later);
  code.end(back);
  code.instruction = instruction;
  return code;
}
/// Writes `command` to the low half of the ICR.
constexpr MmiCode icr_code(u32 command, u64 back) noexcept {
  MmiCode code;
  add_icr_write(code, command);
  code.end(back);
  return code;
}
/// The program's registers with which it writes `value` to 0xB2.
constexpr CpuState with_command(CpuState s, u8 value) noexcept {
  s[CpuRegister::Rax] = (s[CpuRegister::Rax] & ~u64{0xFF}) | value;
  if (s[CpuRegister::Form] == static_cast<u64>(OutForm::Dx)) {
    s[CpuRegister::Rdx] = (s[CpuRegister::Rdx] & ~u64{0xFFFF}) | platform::kPortApmCnt;
  }
  return s;
}

}  // namespace mm::steps
