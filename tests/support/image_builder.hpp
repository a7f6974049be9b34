// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "core/abi/guids.hpp"
#include "core/base/types.hpp"
#include "core/image/fv.hpp"

/// Small valid PE32+ images, firmware volumes and MMI entry binaries for tests, to be mutated.
namespace mm::test {

using Blob = std::vector<std::byte>;

template <typename T>
void put(Blob& blob, u64 at, T value) {
  if (blob.size() < at + sizeof(T)) {
    blob.resize(at + sizeof(T));
  }
  std::memcpy(blob.data() + at, &value, sizeof(T));
}
inline void append(Blob& blob, Blob const& more) { blob.insert(blob.end(), more.begin(), more.end()); }
inline Blob bytes_of(std::initializer_list<int> values) {
  Blob b;
  for (int v : values) {
    b.push_back(static_cast<std::byte>(v));
  }
  return b;
}

inline constexpr u32 kCode = 0x6000'0020;
inline constexpr u32 kReadOnly = 0x4000'0040;
inline constexpr u32 kData = 0xC000'0040;
inline constexpr u32 kReloc = 0x4200'0040;
inline constexpr u32 kNameless = 0x0200'0040;

struct SectionSpec {
  u32 rva = 0;
  u32 virtual_size = 0;
  Blob raw;
  u32 characteristics = 0;
};

/// Field offsets of the images that build() makes; written out, so that the structs of core/image are tested against
/// them.
inline constexpr u64 kNt = 0x80;
inline constexpr u64 kOpt = kNt + 24;
inline constexpr u64 kTable = kOpt + 240;

struct PeSpec {
  u32 file_alignment = 0x1000;
  u32 entry = 0x1000;
  u64 image_base = 0;
  u32 size_of_image = 0;  ///< 0: end of the last section
  std::vector<SectionSpec> sections;
  u32 reloc_rva = 0;
  u32 reloc_size = 0;

  Blob build() const {
    Blob b(kTable + sections.size() * 40);
    put(b, 0, u16{0x5A4D});
    put(b, 60, static_cast<u32>(kNt));
    put(b, kNt, u32{0x4550});
    put(b, kNt + 4, u16{0x8664});
    put(b, kNt + 6, static_cast<u16>(sections.size()));
    put(b, kNt + 20, u16{240});
    put(b, kNt + 22, u16{0x2022});
    put(b, kOpt, u16{0x20B});
    put(b, kOpt + 16, entry);
    put(b, kOpt + 24, image_base);
    put(b, kOpt + 32, u32{0x1000});
    put(b, kOpt + 36, file_alignment);
    put(b, kOpt + 68, u16{0x0B});
    put(b, kOpt + 108, u32{16});
    put(b, kOpt + 112 + 40, reloc_rva);
    put(b, kOpt + 112 + 44, reloc_size);
    u32 const headers = static_cast<u32>(align_up(b.size(), file_alignment));
    b.resize(headers);
    put(b, kOpt + 60, headers);
    u64 end = headers;
    for (std::size_t i = 0; i < sections.size(); ++i) {
      SectionSpec const& s = sections[i];
      u64 const h = kTable + i * 40;
      u32 const raw = static_cast<u32>(align_up(s.raw.size(), file_alignment));
      put(b, h + 8, s.virtual_size);
      put(b, h + 12, s.rva);
      put(b, h + 16, raw);
      put(b, h + 20, raw == 0 ? u32{0} : static_cast<u32>(b.size()));
      put(b, h + 36, s.characteristics);
      Blob padded = s.raw;
      padded.resize(raw);
      append(b, padded);
      u64 const virtual_end = s.rva + (s.virtual_size != 0 ? s.virtual_size : raw);
      end = virtual_end > end ? virtual_end : end;
    }
    put(b, kOpt + 56, size_of_image != 0 ? size_of_image : static_cast<u32>(align_up(end, 0x1000)));
    return b;
  }
};

/// A relocation block for one page.
inline Blob relocation_block(u32 page, std::vector<u16> const& entries) {
  Blob b;
  put(b, 0, page);
  put(b, 4, static_cast<u32>(8 + 2 * entries.size()));
  for (u16 e : entries) {
    put(b, b.size(), e);
  }
  return b;
}

/// clang layout: FileAlignment 0x20, raw != RVA, .data with zero fill, nameless section, DIR64 + HIGHLOW relocations.
inline PeSpec clang_image() {
  PeSpec s;
  s.file_alignment = 0x20;
  s.entry = 0x1004;
  Blob data(16);
  put(data, 0, u64{0x1004});
  put(data, 8, u32{0x3000});
  Blob const reloc = relocation_block(0x3000, {0xA000, 0x3008, 0x0000, 0x0000});
  s.sections = {{0x1000, 0x28, Blob(0x28, std::byte{0x90}), kCode},
                {0x2000, 0x10, Blob(0x10, std::byte{0x55}), kReadOnly},
                {0x3000, 0x1800, data, kData},
                {0x5000, 0x08, Blob(0x08), kNameless},
                {0x6000, static_cast<u32>(reloc.size()), reloc, kReloc}};
  s.reloc_rva = 0x6000;
  s.reloc_size = static_cast<u32>(reloc.size());
  return s;
}

/// GCC layout: FileAlignment 0x1000, .text and .data only, no relocation directory.
inline PeSpec gcc_image() {
  PeSpec s;
  s.sections = {{0x1000, 0x20, Blob(0x20, std::byte{0xCC}), kCode}, {0x2000, 0x20, Blob(0x20, std::byte{1}), kData}};
  return s;
}

inline void put_guid(Blob& b, u64 at, Guid const& g) { put(b, at, g); }

inline void put24(Blob& b, u64 at, u64 v) {
  put(b, at, static_cast<u16>(v));
  put(b, at + 2, static_cast<u8>(v >> 16));
}

inline Blob section(u8 type, Blob const& body, bool extended = false) {
  Blob b(extended ? 8 : 4);
  put24(b, 0, extended ? 0xFF'FFFF : 4 + body.size());
  put(b, 3, type);
  if (extended) {
    put(b, 4, static_cast<u32>(8 + body.size()));
  }
  append(b, body);
  return b;
}

/// Sections one after the other, each at a multiple of 4.
inline Blob sections(std::vector<Blob> const& all) {
  Blob b;
  for (Blob const& s : all) {
    b.resize(align_up(b.size(), 4));
    append(b, s);
  }
  return b;
}

struct FileSpec {
  Guid name;
  u8 type = 0;
  Blob body;
  bool large = false;
  bool checksum = false;
  u8 state = 0x07;  ///< true polarity

  Blob build(bool inverted) const {
    u64 const header = large ? 32 : 24;
    Blob b(header);
    u64 const size = header + body.size();
    put_guid(b, 0, name);
    put(b, 18, type);
    put(b, 19, static_cast<u8>((large ? 1 : 0) | (checksum ? 0x40 : 0)));
    put24(b, 20, large ? 0 : size);
    if (large) {
      put(b, 24, size);
    }
    put(b, 16, static_cast<u8>(-image::sum8(b)));
    put(b, 17, checksum ? static_cast<u8>(-image::sum8(body)) : u8{0xAA});
    put(b, 23, inverted ? static_cast<u8>(~state) : state);
    append(b, body);
    return b;
  }
};

struct FvSpec {
  bool inverted = true;
  bool ffs3 = false;
  u64 ext_bytes = 0;  ///< 0: no extended header
  u64 free_bytes = 64;
  std::vector<FileSpec> files;

  static void seal(Blob& b) {
    put(b, 50, u16{0});
    u16 sum = 0;
    u64 const length = image::load_le<u16>(b, 48);
    for (u64 i = 0; i < length; i += 2) {
      sum = static_cast<u16>(sum + image::load_le<u16>(b, i));
    }
    put(b, 50, static_cast<u16>(-sum));
  }
  Blob build() const {
    std::byte const erased{inverted ? u8{0xFF} : u8{0}};
    Blob b(72);
    put_guid(b, 16, ffs3 ? guids::gEfiFirmwareFileSystem3Guid : guids::gEfiFirmwareFileSystem2Guid);
    put(b, 40, u32{0x4856465F});
    put(b, 44, inverted ? u32{0x800} : u32{0});
    put(b, 48, u16{72});
    put(b, 52, ext_bytes != 0 ? u16{72} : u16{0});
    put(b, 55, u8{2});
    if (ext_bytes != 0) {
      b.resize(72 + ext_bytes);
      put(b, 72 + 16, static_cast<u32>(ext_bytes));
    }
    for (FileSpec const& f : files) {
      b.resize(align_up(b.size(), 8), erased);
      append(b, f.build(inverted));
    }
    b.resize(align_up(b.size(), 8) + free_bytes, erased);
    put(b, 32, static_cast<u64>(b.size()));
    put(b, 56, u32{1});
    put(b, 60, static_cast<u32>(b.size()));
    seal(b);
    return b;
  }
};

/// An MMI entry binary with `code` bytes of 90 and a version 5 trailer whose arrays are filled with FF.
inline Blob mmi_entry_binary(u64 code = 0x60) {
  Blob b(code, std::byte{0x90});
  u64 const h = code;
  b.resize(h + 130, std::byte{0xFF});
  put(b, h, u32{5});
  std::array<u8, 8> const arrays{22, 4, 38, 7, 94, 7, 122, 8};
  put(b, h + 4, arrays);
  put(b, h + 12, u16{0x0200});
  put(b, h + 130, u32{130});
  return b;
}

}  // namespace mm::test
