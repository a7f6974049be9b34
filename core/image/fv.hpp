// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>

#include "core/abi/guids.hpp"
#include "core/image/bytes.hpp"

/// Firmware volumes, files and sections (PI 1.8 vol. 3; user-core-and-communication.md 2.3). Pure readers over a span.
/// Stricter than edk2's FvLib: sizes are bounded, file checksums are verified, damage is an error and not the end.
namespace mm::image {

enum class FvProblem : u8 {
  Truncated,           ///< shorter than a volume header
  Signature,           ///< no "_FVH"
  FileSystem,          ///< neither FFS2 nor FFS3
  Revision,            ///< not 2
  HeaderLength,        ///< shorter than 56, odd, or outside the volume
  HeaderChecksum,      ///< 16-bit sum of the header is not 0
  Length,              ///< FvLength beyond the bytes there are, or smaller than the header
  BlockMap,            ///< no terminator inside the header, or its sum is not FvLength
  ExtHeader,           ///< extended header overlaps the header or is outside the volume
  FileHeaderChecksum,  ///< 8-bit sum of the file header is not 0
  FileSize,            ///< smaller than its header, or beyond the volume
  FileLarge,           ///< LARGE_FILE in an FFS2 volume
  FileChecksum,        ///< content checksum wrong, or not AA where there is none
  SectionSize,         ///< smaller than its header, or beyond the file
};

/// English text of a problem, without full stop.
constexpr char const* problem_text(FvProblem p) noexcept {
  switch (p) {
    case FvProblem::Truncated:
      return "shorter than a volume header";
    case FvProblem::Signature:
      return "no _FVH signature";
    case FvProblem::FileSystem:
      return "the file system is neither FFS2 nor FFS3";
    case FvProblem::Revision:
      return "the revision is not 2";
    case FvProblem::HeaderLength:
      return "the header length is below 56, odd, or outside the volume";
    case FvProblem::HeaderChecksum:
      return "the 16-bit sum of the header is not 0";
    case FvProblem::Length:
      return "FvLength beyond the bytes there are, or smaller than the header";
    case FvProblem::BlockMap:
      return "the block map has no terminator inside the header, or its sum is not FvLength";
    case FvProblem::ExtHeader:
      return "extended header overlaps the header or is outside the volume";
    case FvProblem::FileHeaderChecksum:
      return "the 8-bit sum of a file header is not 0";
    case FvProblem::FileSize:
      return "a file is smaller than its header, or reaches beyond the volume";
    case FvProblem::FileLarge:
      return "a LARGE_FILE in an FFS2 volume";
    case FvProblem::FileChecksum:
      return "the content checksum of a file is wrong";
    case FvProblem::SectionSize:
      return "a section is smaller than its header, or reaches beyond the file";
  }
  return "an unknown problem";
}

struct FvError {
  FvProblem problem{};
  u64 offset = 0;  ///< from the start of the volume; for SectionSize from the start of the section stream
  friend constexpr bool operator==(FvError const&, FvError const&) = default;
};

namespace file_type {
inline constexpr u8 kRaw = 0x01;
inline constexpr u8 kFreeform = 0x02;
inline constexpr u8 kMmStandalone = 0x0E;
inline constexpr u8 kMmCoreStandalone = 0x0F;
inline constexpr u8 kPad = 0xF0;
}  // namespace file_type

namespace section_type {
inline constexpr u8 kGuidDefined = 0x02;
inline constexpr u8 kPe32 = 0x10;
inline constexpr u8 kVersion = 0x14;
inline constexpr u8 kUserInterface = 0x15;
inline constexpr u8 kFreeformSubtypeGuid = 0x18;
inline constexpr u8 kRaw = 0x19;
inline constexpr u8 kMmDepex = 0x1C;
}  // namespace section_type

/// One usable file of a volume.
struct FvFile {
  Guid name;
  u8 type = 0;
  u8 attributes = 0;
  u64 offset = 0;  ///< of the header, from the start of the volume
  Bytes body;      ///< after the header: the section stream, or raw bytes
};

/// One section of a file.
struct FvSection {
  u8 type = 0;
  u64 offset = 0;  ///< of the section header, from the start of the stream
  Bytes body;      ///< after the common header (4 or 8 bytes)
};

/// Walks the sections of a file body. Encapsulations are handed out, not opened.
class SectionWalker {
 public:
  constexpr explicit SectionWalker(Bytes stream) noexcept : stream_(stream) {}

  /// The next section, nothing at the end, or SectionSize (and then the walk is over).
  constexpr std::expected<std::optional<FvSection>, FvError> next() noexcept {
    if (at_ >= stream_.size()) {
      return std::optional<FvSection>{};
    }
    u64 const at = at_;
    at_ = stream_.size();
    if (!fits(stream_, at, 4)) {
      return std::unexpected(FvError{FvProblem::SectionSize, at});
    }
    u64 size = load_le24(stream_, at);
    u64 header = 4;
    if (size == 0xFF'FFFF && fits(stream_, at, 8)) {
      size = load_le<u32>(stream_, at + 4);
      header = 8;
    }
    if (size < header || !fits(stream_, at, size)) {
      return std::unexpected(FvError{FvProblem::SectionSize, at});
    }
    at_ = align_up(at + size, 4);
    return FvSection{load_le<u8>(stream_, at + 3), at, slice(stream_, at + header, size - header)};
  }

 private:
  Bytes stream_;
  u64 at_ = 0;
};

/// The first section of `type` in `stream`, nothing when there is none. Sections after it are not looked at.
constexpr std::expected<std::optional<FvSection>, FvError> find_section(Bytes stream, u8 type) noexcept {
  SectionWalker walker{stream};
  for (;;) {
    auto section = walker.next();
    if (!section || !*section || (*section)->type == type) {
      return section;
    }
  }
}

/// Walks the files of a volume.
class FileWalker {
 public:
  /// The next usable file (pad files included), nothing at the end of the volume, or an error (and then it is over).
  constexpr std::expected<std::optional<FvFile>, FvError> next() noexcept {
    while (volume_.size() >= 24 && at_ <= volume_.size() - 24) {
      auto file = step();
      if (!file || *file) {
        return file;
      }
    }
    return std::optional<FvFile>{};
  }

 private:
  friend class FirmwareVolume;
  using Result = std::expected<std::optional<FvFile>, FvError>;

  constexpr FileWalker(Bytes volume, u64 first, bool inverted, bool ffs3) noexcept
      : volume_(volume), at_(first), inverted_(inverted), ffs3_(ffs3) {}

  constexpr Result fail(FvProblem p, u64 offset) noexcept {
    at_ = volume_.size();
    return std::unexpected(FvError{p, offset});
  }

  /// The state bit that counts: the highest one set.
  constexpr u8 state(u64 at) const noexcept {
    u8 const raw_state = load_le<u8>(volume_, at + 23);
    u8 const bits = inverted_ ? static_cast<u8>(~raw_state) : raw_state;
    for (u8 bit = 0x80; bit != 0; bit = static_cast<u8>(bit >> 1)) {
      if ((bits & bit) != 0) {
        return bit;
      }
    }
    return 0;
  }

  constexpr Result step() noexcept {
    u64 const at = at_;
    u8 const attributes = load_le<u8>(volume_, at + 19);
    bool const large = (attributes & kLargeFile) != 0;
    u64 const header = large ? 32 : 24;
    switch (state(at)) {
      case kHeaderInvalid:
        at_ = align_up(at + header, 8);
        return std::optional<FvFile>{};
      case kDataValid:
      case kMarkedForUpdate:
      case kDeleted:
        break;
      default:
        at_ = volume_.size();
        return std::optional<FvFile>{};
    }
    if (large && !ffs3_) {
      return fail(FvProblem::FileLarge, at + 19);
    }
    if (!fits(volume_, at, header)) {
      return fail(FvProblem::FileSize, at + 20);
    }
    u8 const unsummed = static_cast<u8>(load_le<u8>(volume_, at + 23) + load_le<u8>(volume_, at + 17));
    if (sum8(slice(volume_, at, header)) != unsummed) {
      return fail(FvProblem::FileHeaderChecksum, at + 16);
    }
    u64 const size = large ? load_le<u64>(volume_, at + 24) : load_le24(volume_, at + 20);
    if (size < header || !fits(volume_, at, size)) {
      return fail(FvProblem::FileSize, large ? at + 24 : at + 20);
    }
    at_ = align_up(at + size, 8);
    if (state(at) == kDeleted) {
      return std::optional<FvFile>{};
    }
    Bytes const body = slice(volume_, at + header, size - header);
    u8 const checksum = load_le<u8>(volume_, at + 17);
    bool const good = (attributes & kHasChecksum) != 0 ? static_cast<u8>(sum8(body) + checksum) == 0 : checksum == 0xAA;
    if (!good) {
      return fail(FvProblem::FileChecksum, at + 17);
    }
    return FvFile{load_guid(volume_, at), load_le<u8>(volume_, at + 18), attributes, at, body};
  }

  static constexpr u8 kLargeFile = 0x01;
  static constexpr u8 kHasChecksum = 0x40;
  static constexpr u8 kDataValid = 0x04;
  static constexpr u8 kMarkedForUpdate = 0x08;
  static constexpr u8 kDeleted = 0x10;
  static constexpr u8 kHeaderInvalid = 0x20;

  Bytes volume_;
  u64 at_ = 0;
  bool inverted_ = false;
  bool ffs3_ = false;
};

/// A volume whose header is valid; the bytes must outlive it.
class FirmwareVolume {
 public:
  /// `bytes` may be longer than the volume.
  static constexpr std::expected<FirmwareVolume, FvError> parse(Bytes bytes) noexcept {
    FirmwareVolume fv;
    if (auto const checked = fv.read_header(bytes); !checked) {
      return std::unexpected(checked.error());
    }
    if (auto const checked = fv.read_layout(); !checked) {
      return std::unexpected(checked.error());
    }
    return fv;
  }

  constexpr u64 length() const noexcept { return volume_.size(); }
  constexpr FileWalker files() const noexcept { return FileWalker{volume_, first_file_, inverted_, ffs3_}; }

 private:
  using Check = std::expected<void, FvError>;
  static constexpr Check fail(FvProblem p, u64 offset) noexcept { return std::unexpected(FvError{p, offset}); }

  constexpr Check read_header(Bytes bytes) noexcept {
    if (bytes.size() < 56) {
      return fail(FvProblem::Truncated, 0);
    }
    if (load_le<u32>(bytes, 40) != 0x4856'465F) {
      return fail(FvProblem::Signature, 40);
    }
    Guid const system = load_guid(bytes, 16);
    ffs3_ = system == guids::gEfiFirmwareFileSystem3Guid;
    if (!ffs3_ && system != guids::gEfiFirmwareFileSystem2Guid) {
      return fail(FvProblem::FileSystem, 16);
    }
    if (load_le<u8>(bytes, 55) != 2) {
      return fail(FvProblem::Revision, 55);
    }
    header_length_ = load_le<u16>(bytes, 48);
    if (header_length_ < 56 || header_length_ % 2 != 0 || !fits(bytes, 0, header_length_)) {
      return fail(FvProblem::HeaderLength, 48);
    }
    u32 sum = 0;
    for (u64 i = 0; i < header_length_; i += 2) {
      sum += load_le<u16>(bytes, i);
    }
    if (static_cast<u16>(sum) != 0) {
      return fail(FvProblem::HeaderChecksum, 50);
    }
    u64 const length = load_le<u64>(bytes, 32);
    if (length < header_length_ || length > bytes.size()) {
      return fail(FvProblem::Length, 32);
    }
    volume_ = slice(bytes, 0, length);
    inverted_ = (load_le<u32>(bytes, 44) & 0x800) != 0;
    return {};
  }

  constexpr Check read_layout() noexcept {
    u64 mapped = 0;
    u64 at = 56;
    for (;; at += 8) {
      if (at + 8 > header_length_) {
        return fail(FvProblem::BlockMap, at);
      }
      u64 const blocks = load_le<u32>(volume_, at);
      u64 const bytes = load_le<u32>(volume_, at + 4);
      if (blocks == 0 && bytes == 0) {
        break;
      }
      u64 const piece = blocks * bytes;  // two u32: cannot wrap
      if (piece > volume_.size() - mapped) {
        return fail(FvProblem::BlockMap, at);
      }
      mapped += piece;
    }
    if (mapped != volume_.size()) {
      return fail(FvProblem::BlockMap, 56);
    }
    u64 const ext = load_le<u16>(volume_, 52);
    if (ext == 0) {
      first_file_ = align_up(header_length_, 8);
      return {};
    }
    u64 const ext_size = load_le<u32>(volume_, ext + 16);
    if (ext < header_length_ || ext_size < 20 || !fits(volume_, ext, ext_size)) {
      return fail(FvProblem::ExtHeader, 52);
    }
    first_file_ = align_up(ext + ext_size, 8);
    return {};
  }

  Bytes volume_;
  u64 header_length_ = 0;
  u64 first_file_ = 0;
  bool inverted_ = false;
  bool ffs3_ = false;
};

}  // namespace mm::image
