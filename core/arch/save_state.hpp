// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

/// The save state that a CPU writes when it enters MM, in the two layouts that exist: AMD64 (AMD APM vol. 2, 10.2.3,
/// table 10-1) and Intel 64 (Intel SDM vol. 3, 34.4.1.1, table 34-3). One row a register; the numbers of the registers
/// are those of EFI_MM_SAVE_STATE_REGISTER (PI 1.8 vol. 4, 4.3). Only facts: who may read what is the supervisor's
/// matter, who writes it the machine's.
namespace mm::arch {

inline constexpr u64 kMmEntryOffset = 0x8000;  ///< from SMBASE: the first instruction in MM

}  // namespace mm::arch

namespace mm::arch::save_state {

inline constexpr u64 kOffset = 0xFC00;  ///< of the map from SMBASE; every place below counts from the map
inline constexpr u64 kBytes = 0x400;

enum class Layout : u8 { Amd64, Intel };

enum class Register : u16 {
  GdtBase = 4,
  IdtBase = 5,
  LdtBase = 6,
  GdtLimit = 7,
  IdtLimit = 8,
  LdtLimit = 9,
  Es = 20,
  Cs = 21,
  Ss = 22,
  Ds = 23,
  Fs = 24,
  Gs = 25,
  Ldtr = 26,
  Tr = 27,
  Dr7 = 28,
  Dr6 = 29,
  R8 = 30,
  R9 = 31,
  R10 = 32,
  R11 = 33,
  R12 = 34,
  R13 = 35,
  R14 = 36,
  R15 = 37,
  Rax = 38,
  Rbx = 39,
  Rcx = 40,
  Rdx = 41,
  Rsp = 42,
  Rbp = 43,
  Rsi = 44,
  Rdi = 45,
  Rip = 46,
  Rflags = 51,
  Cr0 = 52,
  Cr3 = 53,
  Cr4 = 54,
  // What is no register of the map but can be asked for
  Io = 512,
  Lma = 513,
  ProcessorId = 514,
};

/// Where a layout has a register, and in how many bytes. 0 bytes: it does not record it, or not in one piece.
struct Place {
  u16 offset = 0;
  u8 bytes = 0;
};
struct Row {
  Register name{};
  Place amd64;
  Place intel;
};
inline constexpr Row kRegisters[] = {
    {Register::GdtBase, {0x268, 8}, {}},      {Register::IdtBase, {0x288, 8}, {}},
    {Register::LdtBase, {0x278, 8}, {}},      {Register::GdtLimit, {0x264, 2}, {}},
    {Register::IdtLimit, {0x284, 2}, {}},     {Register::LdtLimit, {0x274, 4}, {}},
    {Register::Es, {0x200, 2}, {0x3A8, 4}},   {Register::Cs, {0x210, 2}, {0x3AC, 4}},
    {Register::Ss, {0x220, 2}, {0x3B0, 4}},   {Register::Ds, {0x230, 2}, {0x3B4, 4}},
    {Register::Fs, {0x240, 2}, {0x3B8, 4}},   {Register::Gs, {0x250, 2}, {0x3BC, 4}},
    {Register::Ldtr, {0x270, 2}, {0x3C0, 4}}, {Register::Tr, {0x290, 2}, {0x3C4, 4}},
    {Register::Dr7, {0x360, 8}, {0x3C8, 8}},  {Register::Dr6, {0x368, 8}, {0x3D0, 8}},
    {Register::R8, {0x3B8, 8}, {0x354, 8}},   {Register::R9, {0x3B0, 8}, {0x34C, 8}},
    {Register::R10, {0x3A8, 8}, {0x344, 8}},  {Register::R11, {0x3A0, 8}, {0x33C, 8}},
    {Register::R12, {0x398, 8}, {0x334, 8}},  {Register::R13, {0x390, 8}, {0x32C, 8}},
    {Register::R14, {0x388, 8}, {0x324, 8}},  {Register::R15, {0x380, 8}, {0x31C, 8}},
    {Register::Rax, {0x3F8, 8}, {0x35C, 8}},  {Register::Rbx, {0x3E0, 8}, {0x374, 8}},
    {Register::Rcx, {0x3F0, 8}, {0x364, 8}},  {Register::Rdx, {0x3E8, 8}, {0x36C, 8}},
    {Register::Rsp, {0x3D8, 8}, {0x37C, 8}},  {Register::Rbp, {0x3D0, 8}, {0x384, 8}},
    {Register::Rsi, {0x3C8, 8}, {0x38C, 8}},  {Register::Rdi, {0x3C0, 8}, {0x394, 8}},
    {Register::Rip, {0x378, 8}, {0x3D8, 8}},  {Register::Rflags, {0x370, 8}, {0x3E8, 8}},
    {Register::Cr0, {0x358, 8}, {0x3F8, 8}},  {Register::Cr3, {0x350, 8}, {0x3F0, 8}},
    {Register::Cr4, {0x348, 8}, {0x240, 4}},
};

/// Place of the register with this number; 0 bytes when the layout has none.
constexpr Place find(u64 number, Layout layout) noexcept {
  for (Row const& row : kRegisters) {
    if (static_cast<u64>(row.name) == number) {
      return layout == Layout::Amd64 ? row.amd64 : row.intel;
    }
  }
  return {};
}
constexpr Place place(Register name, Layout layout) noexcept { return find(static_cast<u64>(name), layout); }

/// Both layouts have the revision at one offset; its low half says which it is.
inline constexpr Place kRevision{0x2FC, 4};
inline constexpr u32 kRevisionAmd64 = 0x64;  ///< low half of every AMD64 revision
constexpr Layout layout_of(u32 revision) noexcept {
  return (revision & 0xFFFF) == kRevisionAmd64 ? Layout::Amd64 : Layout::Intel;
}

/// What has no register number.
struct Control {
  Place smbase;
  Place efer;
  Place io;            ///< the word that amd_io() or intel_io() reads
  Place io_restart;    ///< 0xFF: RSM executes the I/O instruction again
  Place halt_restart;  ///< bit 0: the CPU was in HLT, and RSM goes back to it
};
inline constexpr Control kAmd64Control{{0x300, 4}, {0x2D0, 8}, {0x2C0, 4}, {0x2C8, 1}, {0x2C9, 1}};
inline constexpr Control kIntelControl{{0x2F8, 4}, {0x3E0, 8}, {0x3A4, 4}, {0x300, 2}, {0x302, 2}};
constexpr Control const& control(Layout layout) noexcept {
  return layout == Layout::Amd64 ? kAmd64Control : kIntelControl;
}
inline constexpr u8 kRestart = 0xFF;

// AMD64: a segment has 16 bytes, that of ES first: selector, attributes, limit, base.
inline constexpr u64 kAmd64Segments = 0x200;
inline constexpr u64 kAmd64SegmentBytes = 16;

// Intel: bases of tables in two halves, and the address of the I/O instruction.
struct Halves {
  u16 low = 0;
  u16 high = 0;
};
inline constexpr Halves kIntelGdtBase{0x28C, 0x1D0};
inline constexpr Halves kIntelLdtBase{0x29C, 0x1D4};
inline constexpr Halves kIntelIdtBase{0x294, 0x1D8};
inline constexpr Place kIntelIoRip{0x1E8, 8};

/// The I/O instruction that raised the MMI of one CPU.
struct IoRecord {
  bool valid = false;
  bool in = false;
  u16 port = 0;
  u32 width = 0;  ///< 0/1/2 = 1/2/4 bytes
  constexpr u64 bytes() const noexcept { return u64{1} << width; }
};

// AMD64 I/O word (AMD APM vol. 2, 10.2.5): port in the high half.
inline constexpr u32 kAmdIoIn = 1, kAmdIoValid = 2, kAmdIoString = 4, kAmdIoRep = 8;
inline constexpr u32 kAmdIoByte = 0x10, kAmdIoWord = 0x20, kAmdIoDword = 0x40;

/// A string instruction moves memory, not RAX: no record, as in the Intel layout.
constexpr IoRecord amd_io(u32 word) noexcept {
  if ((word & kAmdIoValid) == 0 || (word & (kAmdIoString | kAmdIoRep)) != 0) {
    return {};
  }
  u32 const width = (word & kAmdIoByte) != 0 ? 0 : (word & kAmdIoWord) != 0 ? 1 : 2;
  return {true, (word & kAmdIoIn) != 0, static_cast<u16>(word >> 16), width};
}

// Intel I/O word (Intel SDM vol. 3, 34.7): valid, length in bits 1 to 3, kind of instruction in bits 4 to 7, port.
inline constexpr u32 kIntelIoValid = 1;
inline constexpr u32 kIntelIoLength = 1;  ///< shifts
inline constexpr u32 kIntelIoKind = 4;

constexpr IoRecord intel_io(u32 word) noexcept {
  u32 const length = word >> kIntelIoLength & 7;
  u32 const kind = word >> kIntelIoKind & 15;
  bool const simple = kind == 0 || kind == 1 || kind == 8 || kind == 9;  // OUT, IN, and both with an immediate port
  if ((word & kIntelIoValid) == 0 || !simple || (length != 1 && length != 2 && length != 4)) {
    return {};
  }
  return {true, (kind & 1) != 0, static_cast<u16>(word >> 16), length >> 1};
}

}  // namespace mm::arch::save_state
