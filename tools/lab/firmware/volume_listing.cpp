// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/firmware/volume_listing.hpp"

#include <fmt/format.h>
#include <lzma.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "core/abi/guids.hpp"
#include "core/image/fv.hpp"
#include "tools/lab/firmware/decompress.hpp"
#include "tools/lab/firmware/file_walk.hpp"
#include "tools/lab/firmware/header_sums.hpp"
#include "tools/lab/firmware/lone_file.hpp"

namespace mm::lab {
namespace {

using image::fits;
using image::FvProblem;
using image::load_guid;
using image::load_le;
using image::slice;
using Span = std::span<std::byte const>;

constexpr unsigned kMaxDepth = 8;
/// Files and sections in one listing: bounds the memory that a hostile volume of tiny files costs.
constexpr u32 kMaxEntries = 100'000;
constexpr std::size_t kMaxRemarks = 16;  ///< of what only looks like a volume
constexpr std::string_view kSignature = "_FVH";
constexpr u64 kSignatureAt = 40;

constexpr Guid kLzma = "EE4E5898-3914-4259-9D6E-DC7BD79403CF"_guid;
constexpr Guid kLzmaX86 = "D42AE6BD-1352-4BFB-909A-CA72A6EAE889"_guid;
constexpr Guid kBrotli = "3D532050-5CDA-4FD0-879E-0F7F630D5AFB"_guid;
constexpr Guid kTiano = "A31280AD-481E-41B6-95E8-127F4C984779"_guid;
constexpr Guid kCrc32 = "FC1BCDB0-7D31-49AA-936A-A4600D9DD083"_guid;

/// File systems that are known by name and not opened.
constexpr std::pair<Guid, std::string_view> kOtherSystems[] = {
    {"7A9354D9-0468-444A-81CE-0BF617D890DF"_guid, "FFS1"},
    {"FFF12B8D-7696-4C8B-A985-2747075B4F50"_guid, "variable store"},
    {"04ADEEAD-61FF-4D31-B6BA-64F8BF901F5A"_guid, "Apple boot volume"}};

std::string system_name(Guid const& system) {
  for (auto const& [guid, name] : kOtherSystems) {
    if (guid == system) {
      return std::string{name};
    }
  }
  return "file system " + format_guid(system);
}

/// UCS-2 up to the terminator; what is not printable ASCII becomes '?'.
std::string ui_text(Span body) {
  std::string out;
  for (u64 at = 0; at + 1 < body.size() && out.size() < 256; at += 2) {
    u16 const c = load_le<u16>(body, at);
    if (c == 0) {
      break;
    }
    out.push_back(c >= 0x20 && c < 0x7F ? static_cast<char>(c) : '?');
  }
  return out;
}

/// The alignment of a file's data from the start of the volume, in bytes (PI 1.8 vol. 3, 3.2.3.1).
u64 data_alignment(u8 attributes) {
  constexpr std::array<u8, 8> kShift{0, 4, 7, 9, 10, 12, 15, 16};
  unsigned const field = attributes >> 3 & 7u;
  bool const large = (attributes & 2) != 0;
  return u64{1} << (large ? 17 + field : kShift[field]);
}

/// Builds one Listing; its state is what bounds the work.
class Lister {
 public:
  explicit Lister(Listing& out) : out_(out) {}

  /// A file outside a volume has no place, so nothing can be said about its alignment.
  void lone_file() { placed_ = false; }

  /// The volume at the start of `bytes`, nothing when there is none (and then `why` says what is wrong with it).
  template <typename Sum16>
  std::optional<ListedVolume> volume(Span bytes, std::string where, unsigned depth, image::FvError& why,
                                     Sum16&& sum16) {
    auto const header = image::read_volume_header(bytes, sum16);
    // One thing may be wrong with a header; what is wrong in more ways is no volume.
    unsigned const most = header.ffs ? 1 : 2;
    if (header.fatal || header.wrongs > most || (!header.ffs && !header.checksum_good)) {
      why = header.wrong && !header.fatal ? *header.wrong : *header.fatal;
      return std::nullopt;
    }
    ListedVolume v;
    v.where = std::move(where);
    v.bytes = header.length;
    v.ffs = header.ffs;
    v.file_system = !header.ffs ? system_name(header.file_system) : header.ffs3 ? "FFS3" : "FFS2";
    if (!header.ffs) {
      v.remarks.push_back(v.file_system + ": not opened");
      return v;
    }
    if (header.wrong) {
      v.problems.push_back(sentence(*header.wrong) + ": a loader refuses the volume");
    }
    auto walked = walk_files(bytes, header, kMaxEntries - entries_);
    v.problems.insert(v.problems.end(), walked.problems.begin(), walked.problems.end());
    v.remarks = std::move(walked.remarks);
    for (auto& f : walked.files) {
      bool const pad = f.file.type == image::file_type::kPad;
      v.pads += pad ? 1 : 0;
      if (pad && !holds_signature(f.file.body)) {
        continue;
      }
      if (!room()) {
        v.problems.push_back("too many files and sections: the rest is not listed");
        break;
      }
      v.files.push_back(file(f, depth));
      if (pad && v.files.back().volumes.empty()) {
        v.files.pop_back();  // only the letters
      }
    }
    return v;
  }

  /// All volumes in `bytes`, at whatever offset. Calls found(volume, offset) for each, and wrong(offset, why) for what
  /// has the signature of a volume and is none.
  template <typename Found, typename Wrong>
  void volumes_in(Span bytes, std::string const& in, unsigned depth, Found&& found, Wrong&& wrong) {
    HeaderSums sums{bytes};
    u64 from = 0;
    for (auto at = next_signature(bytes, kSignatureAt); at; at = next_signature(bytes, from + kSignatureAt)) {
      image::FvError why;
      u64 const start = *at - kSignatureAt;
      auto v = volume(bytes.subspan(static_cast<std::size_t>(start)), fmt::format("{}at {:#x}", in, start), depth, why,
                      [&](u64 words) { return sums.sum(start, words); });
      if (v && !room()) {
        out_.problems.push_back(
            fmt::format("more than {} volumes, files and sections: the rest is not listed", kMaxEntries));
        return;
      }
      if (v) {
        u64 const end = start + std::max<u64>(v->bytes, 1);
        from = end < start ? bytes.size() : end;
        found(std::move(*v), start);
      } else {
        from = start + 1;
        wrong(start, why);
      }
      if (from >= bytes.size()) {
        return;
      }
    }
  }

  void device(Span bytes) {
    u64 wrongs = 0;
    volumes_in(
        bytes, "", 0, [this](ListedVolume&& v, u64) { out_.volumes.push_back(std::move(v)); },
        [&](u64 at, image::FvError const& why) {
          if (++wrongs <= kMaxRemarks) {
            out_.remarks.push_back(fmt::format("at {:#x}: _FVH, but {}", at, sentence(why)));
          }
        });
    if (wrongs > kMaxRemarks) {
      out_.remarks.push_back(fmt::format("{} more places with _FVH are no volumes", wrongs - kMaxRemarks));
    }
  }

 private:
  bool room() {
    if (entries_ == kMaxEntries) {
      return false;
    }
    ++entries_;
    return true;
  }

  static std::optional<u64> next_signature(Span bytes, u64 from) {
    if (from >= bytes.size()) {
      return std::nullopt;
    }
    auto const* const at = ::memmem(bytes.data() + from, bytes.size() - from, kSignature.data(), kSignature.size());
    return at == nullptr ? std::nullopt
                         : std::optional{static_cast<u64>(static_cast<std::byte const*>(at) - bytes.data())};
  }
  static bool holds_signature(Span bytes) { return next_signature(bytes, kSignatureAt).has_value(); }

  ListedFile file(WalkedFile& walked, unsigned depth) {
    auto const& f = walked.file;
    ListedFile out;
    out.name = f.name;
    out.type = f.type;
    out.offset = f.offset;
    out.bytes = f.body.size();
    out.problems = std::move(walked.problems);
    out.damaged = !out.problems.empty();
    out.superseded_by = walked.superseded_by;
    u64 const header = (f.attributes & 1) != 0 ? 32 : 24;
    if (u64 const alignment = data_alignment(f.attributes); placed_ && (f.offset + header) % alignment != 0) {
      out.problems.push_back(fmt::format("its data is not aligned to {:#x} bytes, as its attributes say", alignment));
    }
    bool const raw = f.type == image::file_type::kRaw || f.type == 0 || f.type >= 0xC0;
    if (raw) {
      raw_data(f.body, out, depth);
    } else {
      sections(f.body, out, depth, 0);
    }
    bool const driver = out.type == image::file_type::kMmStandalone || out.type == image::file_type::kMmCoreStandalone;
    if (driver && !out.image && out.remarks.empty()) {
      out.problems.push_back("no PE32 section");
    }
    return out;
  }

  /// Volumes in raw data are opened like any other.
  void raw_data(Span body, ListedFile& file, unsigned depth) {
    if (!holds_signature(body)) {
      return;
    }
    if (depth >= kMaxDepth) {
      file.remarks.push_back("volumes are nested too deeply: not opened");
      return;
    }
    volumes_in(
        body, "in file " + guid_name(file.name) + ", ", depth + 1,
        [&](ListedVolume&& v, u64) { file.volumes.push_back(std::move(v)); },
        [&](u64 at, image::FvError const& why) {
          if (file.remarks.size() < kMaxRemarks && file.type != image::file_type::kPad) {
            file.remarks.push_back(fmt::format("raw data at {:#x}: _FVH, but {}: not opened", at, sentence(why)));
          }
        });
  }

  void sections(Span stream, ListedFile& file, unsigned depth, unsigned inside) {
    for (image::SectionWalker walker{stream};;) {
      auto const next = walker.next();
      if (!next) {
        file.problems.push_back(sentence(next.error()) + ": the sections behind it are not listed");
        return;
      }
      if (!*next) {
        return;
      }
      if (!room()) {
        file.problems.push_back("too many files and sections: the rest is not listed");
        return;
      }
      auto const& s = **next;
      std::size_t const index = file.sections.size();
      file.sections.push_back({s.type, s.body.size(), inside, {}});
      auto const note = section(s, stream, file, depth, inside);
      file.sections[index].note = note;
    }
  }

  /// Takes in one section; returns what is to be said about it.
  std::string section(image::FvSection const& s, Span stream, ListedFile& file, unsigned depth, unsigned inside) {
    switch (s.type) {
      case 0x01:
        return compression(s, file, depth, inside);
      case image::section_type::kGuidDefined:
        return guided(s, stream, file, depth, inside);
      case 0x03:
        return open(s.body, file, depth, inside, "disposable");
      case image::section_type::kPe32:
        if (!file.image) {
          file.image = describe_image(s.body);
          file.pe = s.body;
        }
        return {};
      case 0x12:
        if (!file.image) {
          file.image = describe_image(s.body);
        }
        return {};
      case 0x13:
      case 0x1B:
      case image::section_type::kMmDepex:
        return depex(s, file);
      case image::section_type::kUserInterface:
        file.ui = ui_text(s.body);
        return {};
      case image::section_type::kVersion:
        return s.body.size() < 2 ? refuse(file, "version section is shorter than its header")
                                 : ui_text(slice(s.body, 2, s.body.size()));
      case 0x17:
        return nested(s.body, file, depth);
      case image::section_type::kRaw:
        for (u64 at = 0; file.name == guids::gAprioriFileGuid && fits(s.body, at, sizeof(Guid)); at += sizeof(Guid)) {
          file.apriori.push_back(load_guid(s.body, at));
        }
        file.raw = file.raw ? file.raw : std::optional{s.body};
        raw_data(s.body, file, depth);
        return {};
      case image::section_type::kFreeformSubtypeGuid:
        return s.body.size() < sizeof(Guid) ? refuse(file, "subtype GUID section is shorter than its header")
                                            : format_guid(load_guid(s.body, 0));
      default:
        return {};
    }
  }

  /// The first expression of the type that counts for the file; the others are shown.
  static std::string depex(image::FvSection const& s, ListedFile& file) {
    if (s.type == depex_type_of(file.type) && !file.depex) {
      file.depex_words = depex_words(s.body);
      file.depex = s.body;
    } else {
      file.other_depexes.push_back({s.type, depex_words(s.body)});
    }
    return {};
  }

  std::string nested(Span body, ListedFile& file, unsigned depth) {
    if (depth >= kMaxDepth) {
      file.remarks.push_back("volumes are nested too deeply: not opened");
      return "not opened";
    }
    image::FvError why;
    auto v = volume(body, "in file " + guid_name(file.name), depth + 1, why,
                    [body](u64 words) { return image::sum16(body, words); });
    if (!v) {
      file.problems.push_back("firmware volume section: " + sentence(why));
      return "not a volume";
    }
    file.volumes.push_back(std::move(*v));
    return {};
  }

  std::string open(Span inner, ListedFile& file, unsigned depth, unsigned inside, std::string note) {
    if (depth >= kMaxDepth) {
      file.remarks.push_back("sections are nested too deeply: not opened");
      return note + ", not opened";
    }
    sections(inner, file, depth + 1, inside + 1);
    return note;
  }

  static std::string refuse(ListedFile& file, std::string what) {
    file.problems.push_back(what);
    return what;
  }
  /// What stays closed here, and is no damage.
  static std::string not_opened(ListedFile& file, std::string const& what) {
    file.remarks.push_back(what + ": not opened");
    return what + ", not opened";
  }

  std::string compression(image::FvSection const& s, ListedFile& file, unsigned depth, unsigned inside) {
    u8 const kind = load_le<u8>(s.body, 4);
    if (s.body.size() < 5) {
      return refuse(file, "compression section is shorter than its header");
    }
    if (kind == 0) {
      return open(slice(s.body, 5, s.body.size()), file, depth, inside, "not compressed");
    }
    return not_opened(file, kind == 1 ? "UEFI standard compression" : fmt::format("compression of type {}", kind));
  }

  std::string guided(image::FvSection const& s, Span stream, ListedFile& file, unsigned depth, unsigned inside) {
    u64 const header = static_cast<u64>(s.body.data() - stream.data()) - s.offset;
    u64 const data_at = load_le<u16>(s.body, 16);
    if (s.body.size() < 20 || data_at < header + 20 || !fits(s.body, data_at - header, 0)) {
      return refuse(file, "GUIDed section: its header or data offset is wrong");
    }
    Guid const guid = load_guid(s.body, 0);
    Span const data = slice(s.body, data_at - header, s.body.size());
    if (guid == kLzma || guid == kLzmaX86 || guid == kBrotli) {
      return unpacked(guid, data, file, depth, inside);
    }
    if (guid == kTiano) {
      return not_opened(file, "Tiano compression");
    }
    if (guid == kCrc32) {
      u64 const crc_at = 20;
      u32 const crc = ::lzma_crc32(reinterpret_cast<u8 const*>(data.data()), data.size(), 0);
      if (data_at - header < crc_at + 4 || load_le<u32>(s.body, crc_at) != crc) {
        file.problems.push_back("CRC32 section: the sum is wrong");
      }
      return open(data, file, depth, inside, "CRC32");
    }
    bool const needs_processing = (load_le<u16>(s.body, 18) & 1) != 0;
    return needs_processing
               ? not_opened(file, fmt::format("GUIDed section {} that needs processing", format_guid(guid)))
               : open(data, file, depth, inside, format_guid(guid));
  }

  std::string unpacked(Guid const& guid, Span data, ListedFile& file, unsigned depth, unsigned inside) {
    auto bytes = guid == kBrotli ? unpack_brotli(data, budget_)
                                 : unpack_lzma(data, budget_, guid == kLzma ? LzmaFilter::None : LzmaFilter::X86);
    if (!bytes) {
      return refuse(file, bytes.error());
    }
    out_.unpacked.push_back(std::make_unique<Bytes>(std::move(*bytes)));
    Span const inner{*out_.unpacked.back()};
    return open(inner, file, depth, inside,
                fmt::format("{}, {} bytes unpacked",
                            guid == kLzma      ? "LZMA"
                            : guid == kLzmaX86 ? "LZMA with x86 filter"
                                               : "Brotli",
                            inner.size()));
  }

  Listing& out_;
  UnpackBudget budget_;
  u32 entries_ = 0;
  bool placed_ = true;
};

}  // namespace

std::expected<Listing, std::string> list_images(Span bytes) {
  Listing out;
  if (load_le<u16>(bytes, 0) == 0x5A4D || load_le<u16>(bytes, 0) == 0x5A56) {
    out.image = describe_image(bytes);
    out.kind = out.image->te ? "TE image" : "PE image";
    return out;
  }
  if (auto const file = lone_file_bytes(bytes)) {
    out.unpacked.push_back(std::make_unique<Bytes>(volume_around(bytes, *file)));
    Lister lister{out};
    lister.lone_file();
    lister.device(*out.unpacked.back());
    out.kind = "firmware file";
    return out;
  }
  Lister{out}.device(bytes);
  if (out.volumes.empty()) {
    return std::unexpected(out.remarks.empty()
                               ? std::string{"neither a PE image nor anything with a firmware volume in it"}
                               : "no valid firmware volume: " + out.remarks.front());
  }
  out.kind = out.volumes.size() == 1 && out.volumes[0].bytes == bytes.size() ? "firmware volume" : "firmware device";
  return out;
}

}  // namespace mm::lab
