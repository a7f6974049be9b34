// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <bit>
#include <optional>

#include "core/abi/guids.hpp"
#include "core/image/bytes.hpp"

/// Firmware volumes, files and sections (PI 1.8 vol. 3; core/user/RING3.md 2.3). Pure readers over a span.
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
  /// MARKED_FOR_UPDATE: it counts as long as no file of its name and type is valid beside it (PI 1.8 vol. 3, 3.2.3).
  bool marked_for_update = false;
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

/// The state bit of a file that counts: the highest one set (PI 1.8 vol. 3, 3.2.3, EFI_FFS_FILE_STATE), its polarity
/// taken off.
enum class FileState : u8 {
  Free = 0,  ///< no bit: free space
  HeaderConstruction = 0x01,
  HeaderValid = 0x02,
  DataValid = 0x04,
  MarkedForUpdate = 0x08,
  Deleted = 0x10,
  HeaderInvalid = 0x20,
};

/// What stands at one place of a volume where a file header may be.
struct FileLook {
  FileState state = FileState::Free;  ///< or a value without a name
  bool large = false;                 ///< LARGE_FILE: a header of 32 bytes
  u64 header = 24;
  u64 size = 0;                ///< of header and body; nothing is known of it before `problem` is read
  bool header_summed = false;  ///< the 8-bit sum of the header is right
  bool size_fits = false;      ///< `size` is not smaller than the header, and inside the volume
  std::optional<FvError> problem;
  FvFile file;  ///< its body is empty unless `size_fits`
};

/// Looks at the file header at `at`, which needs 24 bytes. A content checksum is verified for files in use alone.
constexpr FileLook look_at_file(Bytes volume, u64 at, bool inverted, bool ffs3) noexcept {
  constexpr u8 kLargeFile = 0x01;
  constexpr u8 kHasChecksum = 0x40;
  constexpr u8 kNoChecksum = 0xAA;
  FileLook out;
  u8 const raw_state = load_le<u8>(volume, at + 23);
  u8 const bits = inverted ? static_cast<u8>(~raw_state) : raw_state;
  out.state = static_cast<FileState>(std::bit_floor(bits));
  u8 const attributes = load_le<u8>(volume, at + 19);
  out.large = (attributes & kLargeFile) != 0;
  out.header = out.large ? 32 : 24;
  u8 const unsummed = static_cast<u8>(raw_state + load_le<u8>(volume, at + 17));
  out.header_summed = fits(volume, at, out.header) && sum8(slice(volume, at, out.header)) == unsummed;
  out.size = out.large ? load_le<u64>(volume, at + 24) : load_le24(volume, at + 20);
  out.size_fits = out.size >= out.header && fits(volume, at, out.size);
  out.file = {load_guid(volume, at), load_le<u8>(volume, at + 18), attributes, at, {}};
  out.file.marked_for_update = out.state == FileState::MarkedForUpdate;
  auto const wrong = [&out](FvProblem p, u64 where) { out.problem = FvError{p, where}; };
  if (out.large && !ffs3) {
    wrong(FvProblem::FileLarge, at + 19);
  } else if (!fits(volume, at, out.header)) {
    wrong(FvProblem::FileSize, at + 20);
  } else if (!out.header_summed) {
    wrong(FvProblem::FileHeaderChecksum, at + 16);
  } else if (!out.size_fits) {
    wrong(FvProblem::FileSize, out.large ? at + 24 : at + 20);
  }
  bool const used = out.state == FileState::DataValid || out.state == FileState::MarkedForUpdate;
  if (!out.size_fits || !used) {
    return out;
  }
  out.file.body = slice(volume, at + out.header, out.size - out.header);
  u8 const checksum = load_le<u8>(volume, at + 17);
  bool const good =
      (attributes & kHasChecksum) != 0 ? static_cast<u8>(sum8(out.file.body) + checksum) == 0 : checksum == kNoChecksum;
  if (!good && !out.problem) {
    wrong(FvProblem::FileChecksum, at + 17);
  }
  return out;
}

/// Walks the files of a volume as a loader does: the first damage ends it.
class FileWalker {
 public:
  /// The next usable file (pad files included), nothing at the end of the volume, or an error (and then it is over).
  /// A file that is MARKED_FOR_UPDATE is passed over when the file that takes its place is there: one of the same name
  /// and type whose data are valid.
  constexpr std::expected<std::optional<FvFile>, FvError> next() noexcept {
    for (;;) {
      auto file = step();
      if (!file || !*file || !(*file)->marked_for_update || !has_successor(**file)) {
        return file;
      }
    }
  }

 private:
  friend class FirmwareVolume;
  using Result = std::expected<std::optional<FvFile>, FvError>;

  constexpr FileWalker(Bytes volume, u64 first, bool inverted, bool ffs3) noexcept
      : volume_(volume), first_(first), at_(first), inverted_(inverted), ffs3_(ffs3) {}

  constexpr Result step() noexcept {
    while (volume_.size() >= 24 && at_ <= volume_.size() - 24) {
      auto const look = look_at_file(volume_, at_, inverted_, ffs3_);
      u64 const at = at_;
      at_ = volume_.size();
      if (look.state == FileState::HeaderInvalid) {
        at_ = align_up(at + look.header, 8);
        continue;
      }
      if (look.state != FileState::DataValid && look.state != FileState::MarkedForUpdate &&
          look.state != FileState::Deleted) {
        return std::optional<FvFile>{};
      }
      if (look.problem) {
        return std::unexpected(*look.problem);
      }
      at_ = align_up(at + look.size, 8);
      if (look.state != FileState::Deleted) {
        return look.file;
      }
    }
    return std::optional<FvFile>{};
  }

  constexpr bool has_successor(FvFile const& marked) const noexcept {
    FileWalker others = *this;
    others.at_ = first_;
    for (auto file = others.step(); file && *file; file = others.step()) {
      if (!(*file)->marked_for_update && (*file)->name == marked.name && (*file)->type == marked.type) {
        return true;
      }
    }
    return false;
  }

  Bytes volume_;
  u64 first_ = 0;
  u64 at_ = 0;
  bool inverted_ = false;
  bool ffs3_ = false;
};

/// The header of a volume with everything that is wrong with it: for tools that list what a loader refuses.
struct VolumeHeader {
  std::optional<FvError> fatal;  ///< no volume can be made out
  std::optional<FvError> wrong;  ///< the first of what a loader refuses
  unsigned wrongs = 0;           ///< how many
  bool checksum_good = true;     ///< only of headers with less than three wrongs
  Guid file_system;
  bool ffs = false;   ///< FFS2 or FFS3
  u64 length = 0;     ///< FvLength
  u64 available = 0;  ///< of it, how much there is
  u64 first_file = 0;
  bool inverted = false;
  bool ffs3 = false;
};

/// Sum of the first `words` 16-bit words, modulo 65536.
constexpr u16 sum16(Bytes bytes, u64 words) noexcept {
  u32 sum = 0;
  for (u64 i = 0; i < words; ++i) {
    sum += load_le<u16>(bytes, 2 * i);
  }
  return static_cast<u16>(sum);
}

/// What is wrong with the block map behind the fixed part of a header of `header` bytes.
constexpr std::optional<FvError> block_map_problem(Bytes volume, u64 header, u64 length) noexcept {
  u64 mapped = 0;
  for (u64 at = 56;; at += 8) {
    if (at + 8 > header) {
      return FvError{FvProblem::BlockMap, at};
    }
    u64 const blocks = load_le<u32>(volume, at);
    u64 const bytes = load_le<u32>(volume, at + 4);
    if (blocks == 0 && bytes == 0) {
      return mapped == length ? std::nullopt : std::optional{FvError{FvProblem::BlockMap, 56}};
    }
    u64 const piece = blocks * bytes;  // two u32: cannot wrap
    if (piece == 0 || piece > length - mapped) {
      return FvError{FvProblem::BlockMap, at};
    }
    mapped += piece;
  }
}

/// Reads the header at the start of `bytes`, which may be longer than the volume. `sum16` gives the sum of `n` 16-bit
/// words from the start of the header, for callers that read many headers of one file.
template <typename Sum16>
constexpr VolumeHeader read_volume_header(Bytes bytes, Sum16&& sum16) noexcept {
  constexpr u64 kFixed = 56;
  VolumeHeader out;
  auto const fatal = [&](FvProblem p, u64 at) {
    out.fatal = FvError{p, at};
    return out;
  };
  auto const wrong = [&](FvProblem p, u64 at) {
    out.wrong = out.wrong ? out.wrong : std::optional{FvError{p, at}};
    out.checksum_good = out.checksum_good && p != FvProblem::HeaderChecksum;
    ++out.wrongs;
  };
  if (bytes.size() < kFixed) {
    return fatal(FvProblem::Truncated, 0);
  }
  if (load_le<u32>(bytes, 40) != 0x4856'465F) {
    return fatal(FvProblem::Signature, 40);
  }
  out.file_system = load_guid(bytes, 16);
  out.ffs3 = out.file_system == guids::gEfiFirmwareFileSystem3Guid;
  out.ffs = out.ffs3 || out.file_system == guids::gEfiFirmwareFileSystem2Guid;
  out.inverted = (load_le<u32>(bytes, 44) & 0x800) != 0;
  out.length = load_le<u64>(bytes, 32);
  u64 const header = load_le<u16>(bytes, 48);
  if (!out.ffs) {
    wrong(FvProblem::FileSystem, 16);
  }
  u8 const revision = load_le<u8>(bytes, 55);
  if (revision != 2) {
    wrong(FvProblem::Revision, 55);
  }
  if (header < kFixed || header % 2 != 0 || !fits(bytes, 0, header)) {
    return fatal(FvProblem::HeaderLength, 48);
  }
  if (out.length < header) {
    return fatal(FvProblem::Length, 32);
  }
  out.available = out.length < bytes.size() ? out.length : bytes.size();
  Bytes const volume = slice(bytes, 0, out.available);
  auto const map = block_map_problem(volume, header, out.length);
  // Of what is no header in so many ways the sum says nothing more, and it is what costs.
  constexpr unsigned kHopeless = 3;
  if (out.wrongs + (map ? 1 : 0) < kHopeless && sum16(header / 2) != 0) {
    wrong(FvProblem::HeaderChecksum, 50);
  }
  if (out.length > bytes.size()) {
    wrong(FvProblem::Length, 32);
  }
  if (map) {
    wrong(map->problem, map->offset);
  }
  u64 const ext = revision == 1 ? 0 : load_le<u16>(volume, 52);  // reserved in revision 1
  u64 const ext_size = load_le<u32>(volume, ext + 16);
  bool const ext_fits = ext >= header && ext_size >= 20 && fits(volume, ext, ext_size);
  if (ext != 0 && !ext_fits) {
    wrong(FvProblem::ExtHeader, 52);
  }
  out.first_file = align_up(ext != 0 && ext_fits ? ext + ext_size : header, 8);
  return out;
}

/// A volume whose header is valid; the bytes must outlive it.
class FirmwareVolume {
 public:
  /// `bytes` may be longer than the volume.
  static constexpr std::expected<FirmwareVolume, FvError> parse(Bytes bytes) noexcept {
    auto const header = read_volume_header(bytes, [&bytes](u64 words) { return sum16(bytes, words); });
    if (header.fatal || header.wrong) {
      return std::unexpected(header.fatal && !header.wrong ? *header.fatal : *header.wrong);
    }
    FirmwareVolume fv;
    fv.volume_ = slice(bytes, 0, header.length);
    fv.first_file_ = header.first_file;
    fv.inverted_ = header.inverted;
    fv.ffs3_ = header.ffs3;
    return fv;
  }

  constexpr u64 length() const noexcept { return volume_.size(); }
  constexpr FileWalker files() const noexcept { return FileWalker{volume_, first_file_, inverted_, ffs3_}; }

 private:
  Bytes volume_;
  u64 first_file_ = 0;
  bool inverted_ = false;
  bool ffs3_ = false;
};

}  // namespace mm::image
