// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/image/bytes.hpp"
#include "core/loader/types.hpp"
#include "hal/roles/machine.hpp"

/// The MMI entry binary and its fix-up trailer, PER_CORE_MMI_ENTRY_STRUCT_HDR version 5 (core/abi/ABI.md 7): one
/// header, four arrays behind it, and the size of both in the last word of the binary.
namespace mm::loader {

/// Where an array is, from the start of the header, and how many elements it has.
struct [[gnu::packed]] MmiEntryArray {
  u8 offset = 0;
  u8 count = 0;
};
/// Code that differs from copy to copy. The first is the operand of the far jump into protected mode.
struct [[gnu::packed]] MmiEntryStruct {
  u16 size = 0;
  u16 offset = 0;  ///< from the start of the binary
};
/// The operand of a far jump from 16-bit code.
struct [[gnu::packed]] FarJumpOperand {
  u32 offset = 0;
  u16 selector = 0;
};
/// The header, byte-exact.
struct [[gnu::packed]] MmiEntryHeader {
  u32 version = 0;
  MmiEntryArray structs;  ///< MmiEntryStruct: code that differs from copy to copy
  MmiEntryArray wide;     ///< u64
  MmiEntryArray words;    ///< u32
  MmiEntryArray bytes;    ///< u8
  u16 binary_version = 0;
  u32 security_version = 0;
  u32 reserved = 0;
};
static_assert(sizeof(MmiEntryHeader) == 22);
inline constexpr u32 kMmiEntryVersion = 5;

/// What one copy of the binary is told, by array. Elements without a name stay zero.
struct MmiEntryFixUps {
  static constexpr u64 kEntryPoint = 2;     ///< of `wide`: rendezvous entry, the supervisor's
  static constexpr u64 kIdtDescriptor = 5;  ///< address of ten bytes that all CPUs share
  static constexpr u64 kHobList = 6;
  static constexpr u64 kGdtDescriptor = 1;  ///< of `words`: address of the pseudo-descriptor of this CPU
  static constexpr u64 kCr3 = 2;
  static constexpr u64 kStack = 5;  ///< initial ESP; the CpuIndex lies there
  static constexpr u64 kSmbase = 6;
  static constexpr u64 kXdSupported = 0;  ///< of `bytes`
  static constexpr u64 kSmap = 4;         ///< reserved in the reference; here: set CR4.SMAP

  std::array<u64, 7> wide{};
  std::array<u32, 7> words{};
  std::array<u8, 5> bytes{};
};

/// Where the fix-ups are, from the start of the binary.
struct MmiEntryLayout {
  u64 header = 0;
  u64 wide = 0;
  u64 words = 0;
  u64 bytes = 0;
  u64 far_jump = 0;     ///< of its operand; 0: the entry code writes it itself, or there is none
  FarJumpOperand jump;  ///< as the binary has it: the target at SMBASE 0

  static constexpr u64 kMaxBytes = 0x7000;  ///< from SMBASE+0x8000 to the page of PSD and save state

  /// Finds the trailer by the size word at the end of `binary`. MmiEntryTooLarge, MmiEntryTrailer.
  static std::expected<MmiEntryLayout, LoadProblem> parse(image::Bytes binary) noexcept {
    constexpr u64 kSizeWord = sizeof(u32);
    if (binary.size() > kMaxBytes) {
      return std::unexpected(LoadProblem::MmiEntryTooLarge);
    }
    if (binary.size() < sizeof(MmiEntryHeader) + kSizeWord) {
      return std::unexpected(LoadProblem::MmiEntryTrailer);
    }
    u64 const room = binary.size() - kSizeWord;
    u64 const size = image::load_le<u32>(binary, room);
    if (size < sizeof(MmiEntryHeader) || size > room) {
      return std::unexpected(LoadProblem::MmiEntryTrailer);
    }
    u64 const at = room - size;
    auto const header = image::load_object<MmiEntryHeader>(binary, at).value_or(MmiEntryHeader{});
    MmiEntryFixUps const least;
    bool const fit = holds(header.wide, least.wide, size) && holds(header.words, least.words, size) &&
                     holds(header.bytes, least.bytes, size);
    if (header.version != kMmiEntryVersion || !fit) {
      return std::unexpected(LoadProblem::MmiEntryTrailer);
    }
    MmiEntryLayout out{at, at + header.wide.offset, at + header.words.offset, at + header.bytes.offset, 0, {}};
    out.find_far_jump(binary, header.structs, size);
    return out;
  }

 private:
  /// In the field the entry code writes its far jump at each MMI, and the binary has zeros there: such a one stays as
  /// it is. One whose operand is filled leads to its target at SMBASE 0, and needs SMBASE added once.
  void find_far_jump(image::Bytes binary, MmiEntryArray structs, u64 trailer) noexcept {
    if (!holds(structs, std::array<MmiEntryStruct, 1>{}, trailer)) {
      return;
    }
    auto const first = image::load_object<MmiEntryStruct>(binary, header + structs.offset).value_or(MmiEntryStruct{});
    if (first.size != sizeof(FarJumpOperand) || u64{first.offset} + first.size > header) {
      return;
    }
    jump = image::load_object<FarJumpOperand>(binary, first.offset).value_or(FarJumpOperand{});
    far_jump = jump.selector != 0 && jump.offset != 0 ? first.offset : 0;
  }
  /// Whether the array has the elements of `least` or more, behind the header and within the trailer.
  template <typename T, std::size_t N>
  static constexpr bool holds(MmiEntryArray array, std::array<T, N> const& least, u64 trailer) noexcept {
    u64 const bytes = u64{array.count} * sizeof(T);
    return array.count >= least.size() && array.offset >= sizeof(MmiEntryHeader) && array.offset + bytes <= trailer;
  }
};

/// Fills the fix-ups of the copy at `entry`, and relocates its far jump to the SMBASE among them.
template <hal::PhysMemory Mem>
void write_fix_ups(Mem& memory, u64 entry, MmiEntryLayout const& layout, MmiEntryFixUps const& values) noexcept {
  hal::write_object(memory, PhysAddr{entry + layout.wide}, values.wide);
  hal::write_object(memory, PhysAddr{entry + layout.words}, values.words);
  hal::write_object(memory, PhysAddr{entry + layout.bytes}, values.bytes);
  if (layout.far_jump != 0) {
    u32 const target = layout.jump.offset + values.words[MmiEntryFixUps::kSmbase];
    hal::write_object(memory, PhysAddr{entry + layout.far_jump}, FarJumpOperand{target, layout.jump.selector});
  }
}

}  // namespace mm::loader
