// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/image/bytes.hpp"
#include "core/loader/types.hpp"

/// The MMI entry binary and its fix-up trailer, PER_CORE_MMI_ENTRY_STRUCT_HDR version 5 (supervisor.md 2.3).
namespace mm::loader {

/// Where the fix-ups are, from the start of the binary.
struct MmiEntryLayout {
  u64 header = 0;
  u64 fixup64 = 0;
  u64 fixup32 = 0;
  u64 fixup8 = 0;

  static constexpr u64 kHeaderBytes = 22;
  static constexpr u64 kFixUp64 = 7;  ///< least number of entries
  static constexpr u64 kFixUp32 = 7;
  static constexpr u64 kFixUp8 = 5;
  static constexpr u64 kMaxBytes = 0x7000;  ///< from SMBASE+0x8000 to the page of PSD and save state

  /// Finds the trailer by the size word at the end of `binary`. MmiEntryTooLarge, MmiEntryTrailer.
  static constexpr std::expected<MmiEntryLayout, LoadProblem> parse(image::Bytes binary) noexcept {
    using image::load_le;
    if (binary.size() > kMaxBytes) {
      return std::unexpected(LoadProblem::MmiEntryTooLarge);
    }
    if (binary.size() < kHeaderBytes + 4) {
      return std::unexpected(LoadProblem::MmiEntryTrailer);
    }
    u64 const room = binary.size() - 4;
    u64 const size = load_le<u32>(binary, room);
    if (size < kHeaderBytes || size > room) {
      return std::unexpected(LoadProblem::MmiEntryTrailer);
    }
    MmiEntryLayout out;
    out.header = room - size;
    image::Bytes const trailer = image::slice(binary, out.header, size);
    auto const array = [&trailer, &out](u64 field, u64 least, u64 width) -> u64 {
      u64 const offset = load_le<u8>(trailer, field);
      u64 const count = load_le<u8>(trailer, field + 1);
      bool const good = count >= least && offset >= kHeaderBytes && image::fits(trailer, offset, count * width);
      return good ? out.header + offset : 0;
    };
    out.fixup64 = array(6, kFixUp64, 8);
    out.fixup32 = array(8, kFixUp32, 4);
    out.fixup8 = array(10, kFixUp8, 1);
    if (load_le<u32>(trailer, 0) != 5 || out.fixup64 == 0 || out.fixup32 == 0 || out.fixup8 == 0) {
      return std::unexpected(LoadProblem::MmiEntryTrailer);
    }
    return out;
  }
};

}  // namespace mm::loader
