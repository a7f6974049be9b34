// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/image/pe.hpp"
#include "tools/lab/firmware/image_text.hpp"
#include "tools/lab/firmware/volume_listing.hpp"

namespace mm::lab {
namespace {

using image::fits;
using image::load_le;
using image::slice;
using Span = std::span<std::byte const>;

/// The sections whose headers follow one another from `table`: PE and TE images have the same.
void list_pe_sections(Span file, u64 table, u32 count, ListedImage& out) {
  for (u32 i = 0; i < count && i < image::kMaxSections; ++i) {
    u64 const at = table + i * sizeof(image::PeSectionHeader);
    auto const s = image::load_object<image::PeSectionHeader>(file, at);
    if (!s) {
      return;
    }
    auto const rights = fmt::format("R{}{}", s->writable() ? "W" : "", s->executable() ? "X" : "");
    out.sections.push_back({section_name(file, at), s->rva, s->virtual_size, rights});
  }
}

ListedImage describe_te(Span file) {
  ListedImage out;
  out.te = true;
  out.problem = "TE image: only PE32+ is loaded here";
  out.machine = machine_name(load_le<u16>(file, 2));
  out.subsystem = load_le<u8>(file, 5);
  out.entry = load_le<u32>(file, 8);
  out.malformed = !fits(file, 0, 40 + load_le<u8>(file, 4) * u64{40});
  out.bytes = static_cast<u32>(std::min<u64>(file.size(), 0xFFFF'FFFF));
  list_pe_sections(file, 40, load_le<u8>(file, 4), out);
  return out;
}

/// Header fields of a PE image that the strict parser may not accept.
void read_raw_headers(Span file, ListedImage& out) {
  auto const headers = image::PeHeaders::find(file);
  if (!headers) {
    return;
  }
  image::PeOptionalHeader const optional = headers->optional_header();
  out.machine = machine_name(headers->file_header().machine);
  out.subsystem = optional.subsystem;
  out.entry = optional.entry_point;
  out.alignment = optional.section_alignment;
  out.bytes = optional.size_of_image;
  list_pe_sections(file, headers->section_at(0), headers->file_header().sections, out);
}

/// 48 83 EC 28 E8 rel32 48 83 C4 28 41 57 FF 1C 24 EB FE at the entry point.
bool is_supervised(image::PeImage const& pe) {
  constexpr std::array<int, 20> kEntry{0x48, 0x83, 0xEC, 0x28, 0xE8, -1,   -1,   -1,   -1,   0x48,
                                       0x83, 0xC4, 0x28, 0x41, 0x57, 0xFF, 0x1C, 0x24, 0xEB, 0xFE};
  for (u32 i = 0; i < pe.section_count(); ++i) {
    auto const s = pe.section(i);
    if (pe.entry_rva() < s.rva || pe.entry_rva() - s.rva >= s.copy_size) {
      continue;
    }
    auto const code = slice(pe.section_bytes(i), pe.entry_rva() - s.rva, kEntry.size());
    return std::ranges::equal(code, kEntry,
                              [](std::byte have, int want) { return want < 0 || static_cast<int>(have) == want; });
  }
  return false;
}

/// Whether the file is damaged, and not only of a kind that is not loaded here: what any reader of PE files would
/// refuse.
bool is_malformed(Span file, image::PeProblem problem) {
  auto const headers = image::PeHeaders::find(file);
  if (!headers || !fits(file, headers->optional_at(), headers->file_header().optional_bytes)) {
    return true;
  }
  for (u64 i = 0; i < headers->file_header().sections; ++i) {
    auto const s = headers->section(i);
    if (!s || (s->raw_size != 0 && !fits(file, s->raw_offset, s->raw_size))) {
      return true;
    }
  }
  constexpr std::array kOtherKinds{image::PeProblem::HeaderAlignment,     image::PeProblem::Machine,
                                   image::PeProblem::OptionalMagic,       image::PeProblem::SectionCount,
                                   image::PeProblem::SectionAlignment,    image::PeProblem::ImageTooLarge,
                                   image::PeProblem::SectionWriteExecute, image::PeProblem::NoCode,
                                   image::PeProblem::EntryPoint,          image::PeProblem::Imports,
                                   image::PeProblem::RelocationsStripped, image::PeProblem::RelocationType,
                                   image::PeProblem::FileAlignment};
  return std::ranges::find(kOtherKinds, problem) == kOtherKinds.end();
}

}  // namespace

std::string subsystem_name(u16 subsystem) {
  switch (subsystem) {
    case 10:
      return "EFI application";
    case 11:
      return "EFI boot service driver";
    case 12:
      return "EFI runtime driver";
    case 13:
      return "EFI ROM";
    default:
      return fmt::format("subsystem {}", subsystem);
  }
}

ListedImage describe_image(Span bytes) {
  if (load_le<u16>(bytes, 0) == 0x5A56) {
    return describe_te(bytes);
  }
  ListedImage out;
  read_raw_headers(bytes, out);
  auto const pe = image::PeImage::parse(bytes);
  if (!pe) {
    out.problem = describe_problem(bytes, pe.error());
    out.malformed = is_malformed(bytes, pe.error().problem);
    return out;
  }
  out.loadable = true;
  out.supervised = is_supervised(*pe);
  pe->for_each_relocation([&out](image::PeRelocation) { ++out.relocations; });
  return out;
}

}  // namespace mm::lab
