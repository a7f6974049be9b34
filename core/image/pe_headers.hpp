// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>

#include "core/image/bytes.hpp"

/// Headers of a PE32+ file as they lie in it (Microsoft's PE format), and where they are. PeImage (pe.hpp) holds them
/// against each other; a reader that wants to look at a file which PeImage refuses starts here.
namespace mm::image {

inline constexpr u16 kDosMagic = 0x5A4D;      ///< "MZ"
inline constexpr u32 kPeMagic = 0x0000'4550;  ///< "PE\0\0"
inline constexpr u16 kMachineX64 = 0x8664;
inline constexpr u16 kPe32Plus = 0x020B;
inline constexpr u64 kDosHeaderBytes = 64;
inline constexpr u64 kPeOffsetAt = 60;  ///< u32 of the DOS header: where the PE header is

struct PeFileHeader {
  u32 signature = 0;
  u16 machine = 0;
  u16 sections = 0;
  u32 time = 0;
  u32 symbols_at = 0;
  u32 symbols = 0;
  u16 optional_bytes = 0;  ///< of the optional header, directories included
  u16 characteristics = 0;
};
static_assert(sizeof(PeFileHeader) == 24);
inline constexpr u16 kRelocationsStripped = 1;

/// The optional header of PE32+ up to the data directories.
struct PeOptionalHeader {
  u16 magic = 0;
  u16 linker = 0;
  u32 code_bytes = 0;
  u32 data_bytes = 0;
  u32 zero_bytes = 0;
  u32 entry_point = 0;
  u32 code_base = 0;
  u64 image_base = 0;
  u32 section_alignment = 0;
  u32 file_alignment = 0;
  u32 system_version = 0;
  u16 image_major = 0;
  u16 image_minor = 0;
  u16 subsystem_major = 0;
  u16 subsystem_minor = 0;
  u32 reserved = 0;
  u32 size_of_image = 0;
  u32 size_of_headers = 0;
  u32 checksum = 0;
  u16 subsystem = 0;
  u16 dll_characteristics = 0;
  u64 stack_reserve = 0;
  u64 stack_commit = 0;
  u64 heap_reserve = 0;
  u64 heap_commit = 0;
  u32 loader_flags = 0;
  u32 directories = 0;
};
static_assert(sizeof(PeOptionalHeader) == 112 && offsetof(PeOptionalHeader, subsystem) == 68);

struct PeDirectory {
  u32 rva = 0;
  u32 size = 0;
};
inline constexpr u32 kImportDirectory = 1;
inline constexpr u32 kRelocationDirectory = 5;

struct PeSectionHeader {
  char name[8] = {};
  u32 virtual_size = 0;
  u32 rva = 0;
  u32 raw_size = 0;
  u32 raw_offset = 0;
  u32 relocations_at = 0;
  u32 lines_at = 0;
  u16 relocations = 0;
  u16 lines = 0;
  u32 characteristics = 0;

  constexpr bool writable() const noexcept { return (characteristics & 0x8000'0000u) != 0; }
  /// MEM_EXECUTE or CNT_CODE.
  constexpr bool executable() const noexcept { return (characteristics & 0x2000'0020u) != 0; }
};
static_assert(sizeof(PeSectionHeader) == 40);

/// The head of a block of base relocations; entries of 16 bits follow.
struct PeRelocationBlock {
  u32 page = 0;
  u32 bytes = 0;  ///< header included
};

/// Where the headers of a file are. Nothing is checked but what find() says; what lies outside the file reads as zeros.
class PeHeaders {
 public:
  /// Nothing: the file does not begin with "MZ", or no whole file header with its signature is where that leads.
  static constexpr std::optional<PeHeaders> find(Bytes file) noexcept {
    u64 const at = load_le<u32>(file, kPeOffsetAt);
    auto const header = load_object<PeFileHeader>(file, at);
    if (load_le<u16>(file, 0) != kDosMagic || !header || header->signature != kPeMagic) {
      return std::nullopt;
    }
    return PeHeaders(file, at, *header);
  }

  constexpr PeFileHeader const& file_header() const noexcept { return header_; }
  constexpr PeOptionalHeader optional_header() const noexcept {
    return load_object<PeOptionalHeader>(file_, optional_at()).value_or(PeOptionalHeader{});
  }
  /// Whether the part of the optional header that every PE32+ file has is inside the file.
  constexpr bool has_optional_header() const noexcept { return fits(file_, optional_at(), sizeof(PeOptionalHeader)); }
  constexpr u64 optional_at() const noexcept { return at_ + sizeof(PeFileHeader); }
  constexpr u64 section_at(u64 i) const noexcept {
    return optional_at() + header_.optional_bytes + i * sizeof(PeSectionHeader);
  }
  /// Nothing: the header is not inside the file.
  constexpr std::optional<PeSectionHeader> section(u64 i) const noexcept {
    return load_object<PeSectionHeader>(file_, section_at(i));
  }

 private:
  constexpr PeHeaders(Bytes file, u64 at, PeFileHeader const& header) noexcept
      : file_(file), at_(at), header_(header) {}

  Bytes file_;
  u64 at_;
  PeFileHeader header_;
};

}  // namespace mm::image
