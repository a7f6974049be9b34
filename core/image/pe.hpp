// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/image/pe_headers.hpp"

/// PE32+ images (Microsoft PE/COFF specification; core/user/RING3.md 2.1): validated once as a whole, then
/// read without further checks by the caller.
namespace mm::image {

/// What is wrong with an image. Each comes with the byte offset in the file of the field that shows it.
enum class PeProblem : u8 {
  Truncated,            ///< a header reaches beyond the file
  DosMagic,             ///< no "MZ"
  HeaderOverlap,        ///< e_lfanew overlaps the DOS header
  HeaderAlignment,      ///< e_lfanew is not a multiple of 4
  HeaderOffset,         ///< e_lfanew leads outside the file
  PeSignature,          ///< no "PE\0\0"
  Machine,              ///< not x86-64
  OptionalMagic,        ///< not PE32+
  OptionalHeaderSize,   ///< too small for its fixed part or its data directories
  SectionCount,         ///< none, or more than kMaxSections
  SectionAlignment,     ///< not a power of two, or not a multiple of 4 KiB
  FileAlignment,        ///< not a power of two, or larger than the section alignment
  ImageSize,            ///< SizeOfImage is 0 or smaller than the headers
  ImageTooLarge,        ///< SizeOfImage beyond kMaxImageBytes
  HeaderSize,           ///< SizeOfHeaders is outside the file or ends before the section table
  SectionRaw,           ///< raw data outside the file
  SectionVirtual,       ///< virtual range unaligned, wrapping, inside the headers or outside the image
  SectionOverlap,       ///< two sections share a page
  SectionWriteExecute,  ///< writable and executable
  NoCode,               ///< no executable section
  EntryPoint,           ///< not inside an executable section
  Imports,              ///< the import directory is not empty: nothing here would bind it
  RelocationsStripped,  ///< fixed at its ImageBase
  RelocationDirectory,  ///< the directory is not inside the raw data of one section
  RelocationBlock,      ///< block size is odd, below 8 or beyond the directory
  RelocationType,       ///< other than 0, 3 and 10
  RelocationTarget,     ///< patches bytes outside the image, or the headers
};

/// English text of a problem, without full stop.
constexpr char const* problem_text(PeProblem p) noexcept {
  switch (p) {
    case PeProblem::Truncated:
      return "a header reaches beyond the file";
    case PeProblem::DosMagic:
      return "no MZ signature";
    case PeProblem::HeaderOverlap:
      return "e_lfanew is below 64: the PE header would overlap the DOS header";
    case PeProblem::HeaderAlignment:
      return "e_lfanew is not a multiple of 4";
    case PeProblem::HeaderOffset:
      return "e_lfanew leads outside the file";
    case PeProblem::PeSignature:
      return "no PE signature";
    case PeProblem::Machine:
      return "the machine is not x86-64";
    case PeProblem::OptionalMagic:
      return "the optional header is not PE32+";
    case PeProblem::OptionalHeaderSize:
      return "the optional header is too small for its fixed part or its data directories";
    case PeProblem::SectionCount:
      return "no section, or more than 96";
    case PeProblem::SectionAlignment:
      return "SectionAlignment is not a power of two, or not a multiple of 4 KiB";
    case PeProblem::FileAlignment:
      return "FileAlignment is not a power of two, or larger than SectionAlignment";
    case PeProblem::ImageSize:
      return "SizeOfImage is 0 or smaller than the headers";
    case PeProblem::ImageTooLarge:
      return "SizeOfImage is beyond 16 MiB";
    case PeProblem::HeaderSize:
      return "SizeOfHeaders is outside the file or ends before the section table";
    case PeProblem::SectionRaw:
      return "a section's raw data is outside the file";
    case PeProblem::SectionVirtual:
      return "a section's virtual range is unaligned, wraps, is inside the headers or outside the image";
    case PeProblem::SectionOverlap:
      return "two sections share a page";
    case PeProblem::SectionWriteExecute:
      return "a section is writable and executable";
    case PeProblem::NoCode:
      return "no executable section";
    case PeProblem::EntryPoint:
      return "the entry point is not inside an executable section";
    case PeProblem::Imports:
      return "the image has imports, and nothing here would bind them";
    case PeProblem::RelocationsStripped:
      return "the relocations are stripped";
    case PeProblem::RelocationDirectory:
      return "the relocation directory is not inside the raw data of one section";
    case PeProblem::RelocationBlock:
      return "the size of a relocation block is odd, below 8 or beyond the directory";
    case PeProblem::RelocationType:
      return "a relocation has a type other than 0, 3 and 10";
    case PeProblem::RelocationTarget:
      return "a relocation patches bytes outside the image, or the headers";
  }
  return "an unknown problem";
}

struct PeError {
  PeProblem problem{};
  u64 offset = 0;
  friend constexpr bool operator==(PeError const&, PeError const&) = default;
};

inline constexpr u64 kMaxImageBytes = 16ull << 20;
inline constexpr u32 kMaxSections = 96;

/// One section header, after validation.
struct PeSection {
  u32 rva = 0;
  u32 virtual_size = 0;  ///< VirtualSize, or SizeOfRawData when that is 0
  u32 raw_offset = 0;
  u32 copy_size = 0;  ///< bytes to copy from the file: min(virtual_size, SizeOfRawData)
  bool is_writable = false;
  bool is_executable = false;

  constexpr bool writable() const noexcept { return is_writable; }
  constexpr bool executable() const noexcept { return is_executable; }
};

/// One base relocation: add the load delta to the integer of `width` bytes (4 or 8) at `rva`.
struct PeRelocation {
  u32 rva = 0;
  u32 width = 0;
};

/// A validated view of an image file; the file must outlive it.
class PeImage {
 public:
  /// Checks every header, section and relocation of `file`.
  static constexpr std::expected<PeImage, PeError> parse(Bytes file) noexcept;

  constexpr Bytes file() const noexcept { return file_; }
  constexpr u32 entry_rva() const noexcept { return entry_; }
  constexpr u64 image_base() const noexcept { return image_base_; }
  constexpr u32 size_of_image() const noexcept { return size_of_image_; }
  constexpr u32 size_of_headers() const noexcept { return size_of_headers_; }
  constexpr u32 section_alignment() const noexcept { return section_alignment_; }
  constexpr u32 section_count() const noexcept { return sections_; }
  /// Section `i` < section_count().
  constexpr PeSection section(u32 i) const noexcept {
    PeSectionHeader const h = section_header(i);
    PeSection s;
    s.rva = h.rva;
    s.virtual_size = h.virtual_size != 0 ? h.virtual_size : h.raw_size;
    s.raw_offset = h.raw_offset;
    s.copy_size = h.raw_size < s.virtual_size ? h.raw_size : s.virtual_size;
    s.is_writable = h.writable();
    s.is_executable = h.executable();
    return s;
  }
  /// The file bytes of a section that are copied to memory.
  constexpr Bytes section_bytes(u32 i) const noexcept {
    PeSection const s = section(i);
    return slice(file_, s.raw_offset, s.copy_size);
  }
  /// Calls f(PeRelocation) for each entry that is not padding.
  template <typename F>
  constexpr void for_each_relocation(F&& f) const noexcept {
    (void)walk_relocations([&f](PeRelocation r, u64) {
      f(r);
      return true;
    });
  }

 private:
  using Check = std::expected<void, PeError>;
  static constexpr std::unexpected<PeError> fail(PeProblem p, u64 at) noexcept {
    return std::unexpected(PeError{p, at});
  }
  static constexpr bool power_of_two(u32 v) noexcept { return v != 0 && (v & (v - 1)) == 0; }

  constexpr u64 optional() const noexcept { return nt_ + sizeof(PeFileHeader); }
  constexpr PeOptionalHeader optional_header() const noexcept {
    return load_object<PeOptionalHeader>(file_, optional()).value_or(PeOptionalHeader{});
  }
  constexpr u64 header_of(u32 i) const noexcept { return section_table_ + u64{i} * sizeof(PeSectionHeader); }
  constexpr PeSectionHeader section_header(u32 i) const noexcept {
    return load_object<PeSectionHeader>(file_, header_of(i)).value_or(PeSectionHeader{});
  }
  /// The directory at `index`; zeros when the file has fewer.
  constexpr PeDirectory directory(u32 index) const noexcept {
    bool const known = index < optional_header().directories;
    return known ? load_object<PeDirectory>(file_, directory_at(index)).value_or(PeDirectory{}) : PeDirectory{};
  }
  constexpr u64 directory_at(u32 index) const noexcept {
    return optional() + sizeof(PeOptionalHeader) + index * sizeof(PeDirectory);
  }
  constexpr u64 virtual_limit() const noexcept { return align_up(size_of_image_, kPageSize); }

  constexpr Check read_file_header() noexcept;
  constexpr Check find_section_table(u32 optional_bytes) noexcept;
  constexpr Check read_optional_header() noexcept;
  constexpr Check check_section(u32 i) const noexcept;
  constexpr Check check_sections() const noexcept;
  constexpr Check check_directories() noexcept;
  constexpr Check find_relocations(u32 rva, u32 size, u64 at) noexcept;

  /// Visits relocations until visit(PeRelocation, file offset) returns false or a block is malformed.
  template <typename F>
  constexpr Check walk_relocations(F&& visit) const noexcept;

  Bytes file_;
  Bytes relocations_;
  u64 nt_ = 0;
  u64 section_table_ = 0;
  u64 image_base_ = 0;
  u64 relocations_at_ = 0;
  u32 sections_ = 0;
  u32 entry_ = 0;
  u32 section_alignment_ = 0;
  u32 size_of_image_ = 0;
  u32 size_of_headers_ = 0;
  bool stripped_ = false;  ///< of its relocations, by its own word
};

constexpr PeImage::Check PeImage::read_file_header() noexcept {
  if (!fits(file_, 0, kDosHeaderBytes)) {
    return fail(PeProblem::Truncated, 0);
  }
  if (load_le<u16>(file_, 0) != kDosMagic) {
    return fail(PeProblem::DosMagic, 0);
  }
  nt_ = load_le<u32>(file_, kPeOffsetAt);
  if (nt_ < kDosHeaderBytes) {
    return fail(PeProblem::HeaderOverlap, kPeOffsetAt);
  }
  auto const header = load_object<PeFileHeader>(file_, nt_);
  if (!header) {
    return fail(PeProblem::HeaderOffset, kPeOffsetAt);
  }
  if (nt_ % 4 != 0) {
    return fail(PeProblem::HeaderAlignment, kPeOffsetAt);
  }
  if (header->signature != kPeMagic) {
    return fail(PeProblem::PeSignature, nt_);
  }
  if (header->machine != kMachineX64) {
    return fail(PeProblem::Machine, nt_ + offsetof(PeFileHeader, machine));
  }
  sections_ = header->sections;
  stripped_ = (header->characteristics & kRelocationsStripped) != 0;
  if (sections_ == 0 || sections_ > kMaxSections) {
    return fail(PeProblem::SectionCount, nt_ + offsetof(PeFileHeader, sections));
  }
  return find_section_table(header->optional_bytes);
}

constexpr PeImage::Check PeImage::find_section_table(u32 optional_bytes) noexcept {
  if (optional_bytes < sizeof(PeOptionalHeader)) {
    return fail(PeProblem::OptionalHeaderSize, nt_ + offsetof(PeFileHeader, optional_bytes));
  }
  section_table_ = optional() + optional_bytes;
  if (!fits(file_, section_table_, u64{sections_} * sizeof(PeSectionHeader))) {
    return fail(PeProblem::Truncated, section_table_);
  }
  if (optional_header().directories > (optional_bytes - sizeof(PeOptionalHeader)) / sizeof(PeDirectory)) {
    return fail(PeProblem::OptionalHeaderSize, optional() + offsetof(PeOptionalHeader, directories));
  }
  return {};
}

constexpr PeImage::Check PeImage::read_optional_header() noexcept {
  u64 const at = optional();
  PeOptionalHeader const h = optional_header();
  if (h.magic != kPe32Plus) {
    return fail(PeProblem::OptionalMagic, at);
  }
  entry_ = h.entry_point;
  image_base_ = h.image_base;
  section_alignment_ = h.section_alignment;
  size_of_image_ = h.size_of_image;
  size_of_headers_ = h.size_of_headers;
  if (!power_of_two(section_alignment_) || section_alignment_ < kPageSize) {
    return fail(PeProblem::SectionAlignment, at + offsetof(PeOptionalHeader, section_alignment));
  }
  if (!power_of_two(h.file_alignment) || h.file_alignment > section_alignment_) {
    return fail(PeProblem::FileAlignment, at + offsetof(PeOptionalHeader, file_alignment));
  }
  if (size_of_image_ > kMaxImageBytes || section_alignment_ > kMaxImageBytes) {
    return fail(PeProblem::ImageTooLarge, at + offsetof(PeOptionalHeader, size_of_image));
  }
  if (size_of_image_ == 0 || size_of_image_ < size_of_headers_) {
    return fail(PeProblem::ImageSize, at + offsetof(PeOptionalHeader, size_of_image));
  }
  if (size_of_headers_ > file_.size() || size_of_headers_ < header_of(sections_)) {
    return fail(PeProblem::HeaderSize, at + offsetof(PeOptionalHeader, size_of_headers));
  }
  return {};
}

constexpr PeImage::Check PeImage::check_section(u32 i) const noexcept {
  u64 const at = header_of(i);
  PeSection const s = section(i);
  if (!fits(file_, s.raw_offset, section_header(i).raw_size) && s.copy_size != 0) {
    return fail(PeProblem::SectionRaw, at + offsetof(PeSectionHeader, raw_size));
  }
  if (s.virtual_size == 0) {
    return {};
  }
  u64 const end = u64{s.rva} + s.virtual_size;
  if (s.rva % section_alignment_ != 0 || s.rva < size_of_headers_ || end > virtual_limit()) {
    return fail(PeProblem::SectionVirtual, at + offsetof(PeSectionHeader, rva));
  }
  if (s.writable() && s.executable()) {
    return fail(PeProblem::SectionWriteExecute, at + offsetof(PeSectionHeader, characteristics));
  }
  for (u32 j = 0; j < i; ++j) {
    PeSection const other = section(j);
    u64 const pages = align_up(s.virtual_size, kPageSize);
    u64 const other_pages = align_up(other.virtual_size, kPageSize);
    if (Range{s.rva, pages}.overlaps(Range{other.rva, other_pages})) {
      return fail(PeProblem::SectionOverlap, at + offsetof(PeSectionHeader, rva));
    }
  }
  return {};
}

constexpr PeImage::Check PeImage::check_sections() const noexcept {
  bool code = false;
  bool entry = false;
  for (u32 i = 0; i < sections_; ++i) {
    if (Check const checked = check_section(i); !checked) {
      return checked;
    }
    PeSection const s = section(i);
    if (s.executable() && s.virtual_size != 0) {
      code = true;
      entry = entry || (entry_ >= s.rva && entry_ - s.rva < s.virtual_size);
    }
  }
  if (!code) {
    return fail(PeProblem::NoCode, section_table_);
  }
  if (!entry) {
    return fail(PeProblem::EntryPoint, optional() + offsetof(PeOptionalHeader, entry_point));
  }
  return {};
}

constexpr PeImage::Check PeImage::check_directories() noexcept {
  if (directory(kImportDirectory).size != 0) {
    return fail(PeProblem::Imports, directory_at(kImportDirectory));
  }
  PeDirectory const relocations = directory(kRelocationDirectory);
  if (relocations.size != 0) {
    return find_relocations(relocations.rva, relocations.size, directory_at(kRelocationDirectory));
  }
  return stripped_ ? Check(fail(PeProblem::RelocationsStripped, nt_ + offsetof(PeFileHeader, characteristics)))
                   : Check{};
}

constexpr PeImage::Check PeImage::find_relocations(u32 rva, u32 size, u64 at) noexcept {
  for (u32 i = 0; i < sections_; ++i) {
    PeSection const s = section(i);
    if (rva >= s.rva && rva - s.rva <= s.copy_size && size <= s.copy_size - (rva - s.rva)) {
      relocations_at_ = u64{s.raw_offset} + (rva - s.rva);
      relocations_ = slice(file_, relocations_at_, size);
      return walk_relocations([](PeRelocation, u64) { return true; });
    }
  }
  return fail(PeProblem::RelocationDirectory, at);
}

template <typename F>
constexpr PeImage::Check PeImage::walk_relocations(F&& visit) const noexcept {
  for (u64 block = 0; block < relocations_.size();) {
    auto const header = load_object<PeRelocationBlock>(relocations_, block).value_or(PeRelocationBlock{});
    u64 const page = header.page;
    u64 const size = header.bytes;
    if (size < sizeof(header) || size % 2 != 0 || !fits(relocations_, block, size)) {
      return fail(PeProblem::RelocationBlock, relocations_at_ + block + offsetof(PeRelocationBlock, bytes));
    }
    for (u64 entry = block + sizeof(header); entry < block + size; entry += 2) {
      u32 const value = load_le<u16>(relocations_, entry);
      u32 const type = value >> 12;
      u64 const at = relocations_at_ + entry;
      if (type == 0) {
        continue;
      }
      if (type != 3 && type != 10) {
        return fail(PeProblem::RelocationType, at);
      }
      u64 const target = page + (value & 0xFFF);
      u32 const width = type == 10 ? 8 : 4;
      if (target < size_of_headers_ || target + width > size_of_image_) {
        return fail(PeProblem::RelocationTarget, at);
      }
      if (!visit(PeRelocation{static_cast<u32>(target), width}, at)) {
        return {};
      }
    }
    block += size;
  }
  return {};
}

constexpr std::expected<PeImage, PeError> PeImage::parse(Bytes file) noexcept {
  PeImage image;
  image.file_ = file;
  if (Check const c = image.read_file_header(); !c) {
    return std::unexpected(c.error());
  }
  if (Check const c = image.read_optional_header(); !c) {
    return std::unexpected(c.error());
  }
  if (Check const c = image.check_sections(); !c) {
    return std::unexpected(c.error());
  }
  if (Check const c = image.check_directories(); !c) {
    return std::unexpected(c.error());
  }
  return image;
}

}  // namespace mm::image
