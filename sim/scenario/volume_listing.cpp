// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/scenario/volume_listing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/abi/guids.hpp"
#include "core/image/fv.hpp"
#include "core/image/pe.hpp"
#include "sim/scenario/decompress.hpp"
#include "sim/scenario/image_text.hpp"

namespace mm::scenario {
namespace {

using image::fits;
using image::load_guid;
using image::load_le;
using image::slice;
using Span = std::span<std::byte const>;

constexpr unsigned kMaxDepth = 8;
/// Files and sections in one listing: bounds the memory that a hostile volume of tiny files costs.
constexpr u32 kMaxEntries = 100'000;

constexpr Guid kLzma = "EE4E5898-3914-4259-9D6E-DC7BD79403CF"_guid;
constexpr Guid kBrotli = "3D532050-5CDA-4FD0-879E-0F7F630D5AFB"_guid;
constexpr Guid kTiano = "A31280AD-481E-41B6-95E8-127F4C984779"_guid;
constexpr Guid kCrc32 = "FC1BCDB0-7D31-49AA-936A-A4600D9DD083"_guid;
constexpr Guid kVariableStore = "FFF12B8D-7696-4C8B-A985-2747075B4F50"_guid;

std::string sentence(image::FvError const& e) {
  return fmt::format("{} (at {:#x})", image::problem_text(e.problem), e.offset);
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

std::string rights_of(u32 characteristics) {
  return fmt::format("R{}{}", (characteristics & 0x8000'0000u) != 0 ? "W" : "",
                     (characteristics & 0x2000'0020u) != 0 ? "X" : "");
}

void list_pe_sections(Span file, u64 table, u32 count, ListedImage& out) {
  for (u32 i = 0; i < count && i < image::kMaxSections && fits(file, table + u64{i} * 40, 40); ++i) {
    u64 const at = table + u64{i} * 40;
    out.sections.push_back({section_name(file, at), load_le<u32>(file, at + 12), load_le<u32>(file, at + 8),
                            rights_of(load_le<u32>(file, at + 36))});
  }
}

ListedImage describe_te(Span file) {
  ListedImage out;
  out.te = true;
  out.problem = "TE image: only PE32+ is loaded here";
  out.machine = machine_name(load_le<u16>(file, 2));
  out.entry = load_le<u32>(file, 8);
  out.bytes = static_cast<u32>(std::min<u64>(file.size(), 0xFFFF'FFFF));
  list_pe_sections(file, 40, load_le<u8>(file, 4), out);
  return out;
}

/// Header fields of a PE image that the strict parser may not accept.
void read_raw_headers(Span file, ListedImage& out) {
  u64 const nt = load_le<u32>(file, 60);
  if (load_le<u16>(file, 0) != 0x5A4D || !fits(file, nt, 24) || load_le<u32>(file, nt) != 0x0000'4550) {
    return;
  }
  out.machine = machine_name(load_le<u16>(file, nt + 4));
  out.entry = load_le<u32>(file, nt + 24 + 16);
  out.alignment = load_le<u32>(file, nt + 24 + 32);
  out.bytes = load_le<u32>(file, nt + 24 + 56);
  list_pe_sections(file, nt + 24 + load_le<u16>(file, nt + 20), load_le<u16>(file, nt + 6), out);
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

/// Builds one Listing; its state is what bounds the work.
class Lister {
 public:
  explicit Lister(Listing& out) : out_(out) {}

  /// A volume at the start of `bytes`, nothing when there is none (and then `why` says what is wrong with it).
  std::optional<ListedVolume> volume(Span bytes, std::string where, unsigned depth, std::string& why) {
    auto const fv = image::FirmwareVolume::parse(bytes);
    if (!fv && fv.error().problem == image::FvProblem::FileSystem && plain_header(bytes)) {
      Guid const system = load_guid(bytes, 16);
      return ListedVolume{std::move(where),
                          load_le<u64>(bytes, 32),
                          false,
                          system == kVariableStore ? "variable store" : format_guid(system),
                          {},
                          0,
                          {}};
    }
    if (!fv) {
      why = sentence(fv.error());
      return std::nullopt;
    }
    bool const ffs3 = load_guid(bytes, 16) == guids::gEfiFirmwareFileSystem3Guid;
    ListedVolume v{std::move(where), fv->length(), true, ffs3 ? "FFS3" : "FFS2", {}, 0, {}};
    for (auto walker = fv->files();;) {
      auto const next = walker.next();
      if (!next) {
        v.problems.push_back(sentence(next.error()) + ": the rest of the volume is not listed");
        return v;
      }
      if (!*next) {
        return v;
      }
      if ((*next)->type == image::file_type::kPad) {
        ++v.pads;
      } else if (!room()) {
        v.problems.push_back("too many files and sections: the rest is not listed");
        return v;
      } else {
        v.files.push_back(file(**next, depth));
      }
    }
  }

  /// All volumes of a flash image; an invalid header is passed over 8 bytes at a time.
  void device(Span bytes) {
    for (u64 at = 0; fits(bytes, at, 56);) {
      if (load_le<u32>(bytes, at + 40) != 0x4856'465F) {
        at += 8;
        continue;
      }
      std::string why;
      auto v = volume(bytes.subspan(static_cast<std::size_t>(at)), fmt::format("at {:#x}", at), 0, why);
      if (!v) {
        if (out_.problems.size() < 16) {
          out_.problems.push_back(fmt::format("at {:#x}: _FVH, but {}", at, why));
        }
        at += 8;
        continue;
      }
      at += std::max<u64>(8, align_up(v->bytes, 8));
      out_.volumes.push_back(std::move(*v));
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

  /// Header of a volume whose file system is not FFS: length and checksum are right.
  static bool plain_header(Span bytes) {
    u64 const header = load_le<u16>(bytes, 48);
    u64 const length = load_le<u64>(bytes, 32);
    if (header < 56 || header % 2 != 0 || !fits(bytes, 0, header) || length < header || length > bytes.size()) {
      return false;
    }
    u32 sum = 0;
    for (u64 i = 0; i < header; i += 2) {
      sum += load_le<u16>(bytes, i);
    }
    return static_cast<u16>(sum) == 0;
  }

  ListedFile file(image::FvFile const& f, unsigned depth) {
    ListedFile out;
    out.name = f.name;
    out.type = f.type;
    out.offset = f.offset;
    out.bytes = f.body.size();
    u64 const header = (f.attributes & 1) != 0 ? 32 : 24;
    if (u64 const alignment = data_alignment(f.attributes); (f.offset + header) % alignment != 0) {
      out.problems.push_back(fmt::format("its data is not aligned to {:#x} bytes, as its attributes say", alignment));
    }
    bool const raw = f.type == image::file_type::kRaw || f.type == 0 || f.type >= 0xC0;
    if (!raw) {
      sections(f.body, out, depth, 0);
    }
    bool const driver = out.type == image::file_type::kMmStandalone || out.type == image::file_type::kMmCoreStandalone;
    if (driver && !out.image) {
      out.problems.push_back("no PE32 section");
    }
    if (driver && out.image && !out.image->loadable) {
      out.problems.push_back("PE32: " + out.image->problem);
    }
    return out;
  }

  /// The alignment of a file's data from the start of the volume, in bytes (PI 1.8 vol. 3, 3.2.3.1).
  static u64 data_alignment(u8 attributes) {
    constexpr std::array<u8, 8> kShift{0, 4, 7, 9, 10, 12, 15, 16};
    unsigned const field = attributes >> 3 & 7u;
    bool const large = (attributes & 2) != 0;
    return u64{1} << (large ? 17 + field : kShift[field]);
  }

  void sections(Span stream, ListedFile& file, unsigned depth, unsigned inside) {
    for (image::SectionWalker walker{stream};;) {
      auto const next = walker.next();
      if (!next) {
        file.problems.push_back(sentence(next.error()));
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
          file.image = describe_te(s.body);
        }
        return {};
      case 0x13:
      case 0x1B:
      case image::section_type::kMmDepex:
        if (!file.depex) {
          file.depex_words = depex_words(s.body);
          file.depex = s.body;
        }
        return {};
      case image::section_type::kUserInterface:
        file.ui = ui_text(s.body);
        return {};
      case image::section_type::kVersion:
        return ui_text(slice(s.body, 2, s.body.size()));
      case 0x17:
        return nested(s.body, file, depth);
      case image::section_type::kRaw:
        for (u64 at = 0; file.name == guids::gAprioriFileGuid && fits(s.body, at, sizeof(Guid)); at += sizeof(Guid)) {
          file.apriori.push_back(load_guid(s.body, at));
        }
        return {};
      case image::section_type::kFreeformSubtypeGuid:
        return format_guid(load_guid(s.body, 0));
      default:
        return {};
    }
  }

  std::string nested(Span body, ListedFile& file, unsigned depth) {
    if (depth >= kMaxDepth) {
      file.problems.push_back("volumes are nested too deeply: not opened");
      return "not opened";
    }
    std::string why;
    auto v = volume(body, "in file " + guid_name(file.name), depth + 1, why);
    if (!v) {
      file.problems.push_back("firmware volume section: " + why);
      return "not a volume";
    }
    file.volumes.push_back(std::move(*v));
    return {};
  }

  std::string open(Span inner, ListedFile& file, unsigned depth, unsigned inside, std::string note) {
    if (depth >= kMaxDepth) {
      file.problems.push_back("sections are nested too deeply: not opened");
      return note + ", not opened";
    }
    sections(inner, file, depth + 1, inside + 1);
    return note;
  }

  std::string refuse(ListedFile& file, std::string what) {
    file.problems.push_back(what);
    return what;
  }

  std::string compression(image::FvSection const& s, ListedFile& file, unsigned depth, unsigned inside) {
    u8 const kind = load_le<u8>(s.body, 4);
    if (s.body.size() < 5) {
      return refuse(file, "compression section is shorter than its header");
    }
    if (kind == 0) {
      return open(slice(s.body, 5, s.body.size()), file, depth, inside, "not compressed");
    }
    return refuse(file, kind == 1 ? "UEFI standard compression is not supported: its content is not listed"
                                  : fmt::format("compression type {} is unknown: its content is not listed", kind));
  }

  std::string guided(image::FvSection const& s, Span stream, ListedFile& file, unsigned depth, unsigned inside) {
    u64 const header = static_cast<u64>(s.body.data() - stream.data()) - s.offset;
    u64 const data_at = load_le<u16>(s.body, 16);
    if (s.body.size() < 20 || data_at < header + 20 || !fits(s.body, data_at - header, 0)) {
      return refuse(file, "GUIDed section: its header or data offset is wrong");
    }
    Guid const guid = load_guid(s.body, 0);
    Span const data = slice(s.body, data_at - header, s.body.size());
    if (guid == kLzma || guid == kBrotli) {
      auto unpacked = guid == kLzma ? unpack_lzma(data, budget_) : unpack_brotli(data, budget_);
      if (!unpacked) {
        return refuse(file, unpacked.error());
      }
      out_.unpacked.push_back(std::make_unique<Bytes>(std::move(*unpacked)));
      Span const inner{*out_.unpacked.back()};
      return open(inner, file, depth, inside,
                  fmt::format("{}, {} bytes unpacked", guid == kLzma ? "LZMA" : "Brotli", inner.size()));
    }
    if (guid == kTiano) {
      return refuse(file, "Tiano compression is not supported: its content is not listed");
    }
    bool const needs_processing = (load_le<u16>(s.body, 18) & 1) != 0;
    if (needs_processing && guid != kCrc32) {
      return refuse(file,
                    fmt::format("GUIDed section {} needs processing that is not supported: its content is not listed",
                                format_guid(guid)));
    }
    return open(data, file, depth, inside, guid == kCrc32 ? "CRC32 (not verified)" : format_guid(guid));
  }

  Listing& out_;
  UnpackBudget budget_;
  u32 entries_ = 0;
};

/// Bytes of an FFS file that is not in a volume, as GenFfs leaves it; nothing when `bytes` are no such file.
std::optional<u64> lone_file_bytes(Span bytes) {
  u64 const small = image::load_le24(bytes, 20);
  bool const large = (load_le<u8>(bytes, 19) & 1) != 0;
  u64 const header = large ? 32 : 24;
  u64 const size = large ? load_le<u64>(bytes, 24) : small;
  if (size <= header || !fits(bytes, 0, size) || bytes.size() - size >= 8) {
    return std::nullopt;
  }
  u8 const sum = image::sum8(slice(bytes, 0, header));
  bool const good = static_cast<u8>(sum - load_le<u8>(bytes, 17) - load_le<u8>(bytes, 23)) == 0;
  return good ? std::optional{size} : std::nullopt;
}

/// A volume with that file alone, its erase polarity as the file's state byte has it.
Bytes volume_around(Span bytes, u64 file_bytes) {
  constexpr u64 kHeader = 72;
  bool const inverted = (load_le<u8>(bytes, 23) & 0x80) != 0;
  bool const large = (load_le<u8>(bytes, 19) & 1) != 0;
  u64 const length = kHeader + align_up(file_bytes, 8);
  Bytes out(16);
  append_object(out, large ? guids::gEfiFirmwareFileSystem3Guid : guids::gEfiFirmwareFileSystem2Guid);
  append_int(out, length, 8);
  append_int(out, 0x4856'465F, 4);
  append_int(out, inverted ? 0x800 : 0, 4);
  append_int(out, kHeader, 2);
  append_int(out, 0, 2);            // checksum
  append_int(out, 0x0200'0000, 4);  // no extended header, revision 2
  append_int(out, 1, 4);
  append_int(out, length, 4);
  append_int(out, 0, 8);
  u32 sum = 0;
  for (u64 at = 0; at < kHeader; at += 2) {
    sum += load_le<u16>(out, at);
  }
  out[50] = static_cast<std::byte>(-sum);
  out[51] = static_cast<std::byte>(-sum >> 8);
  append_bytes(out, slice(bytes, 0, file_bytes));
  pad_to(out, 8, std::byte{inverted ? u8{0xFF} : u8{0}});
  return out;
}

}  // namespace

std::vector<ListedFile const*> mm_modules(std::vector<ListedVolume> const& volumes) {
  constexpr u8 kMm = 0x0A, kCombinedMmDxe = 0x0C, kMmCore = 0x0D;
  constexpr std::array kTypes{kMm, kCombinedMmDxe, kMmCore, image::file_type::kMmStandalone,
                              image::file_type::kMmCoreStandalone};
  std::vector<ListedFile const*> out;
  for_each_file(volumes, [&](ListedFile const& f) {
    if (std::ranges::find(kTypes, f.type) != kTypes.end()) {
      out.push_back(&f);
    }
  });
  return out;
}

std::size_t count_problems(std::vector<ListedVolume> const& volumes) {
  std::size_t out = 0;
  for (auto const& volume : volumes) {
    out += volume.problems.size();
    for (auto const& file : volume.files) {
      out += file.problems.size() + count_problems(file.volumes);
    }
  }
  return out;
}

std::string file_type_name(u8 type) {
  constexpr std::string_view kNames[] = {"type 0x00",
                                         "RAW",
                                         "FREEFORM",
                                         "SECURITY_CORE",
                                         "PEI_CORE",
                                         "DXE_CORE",
                                         "PEIM",
                                         "DRIVER (DXE)",
                                         "COMBINED_PEIM_DRIVER",
                                         "APPLICATION",
                                         "MM (traditional)",
                                         "FIRMWARE_VOLUME_IMAGE",
                                         "COMBINED_MM_DXE (traditional MM and DXE)",
                                         "MM_CORE (traditional)",
                                         "MM_STANDALONE",
                                         "MM_CORE_STANDALONE"};
  return type < std::size(kNames)         ? std::string{kNames[type]}
         : type == image::file_type::kPad ? "PAD"
                                          : fmt::format("type {:#04x}", type);
}

std::string section_type_name(u8 type) {
  switch (type) {
    case 0x01:
      return "COMPRESSION";
    case 0x02:
      return "GUID_DEFINED";
    case 0x03:
      return "DISPOSABLE";
    case 0x10:
      return "PE32";
    case 0x11:
      return "PIC";
    case 0x12:
      return "TE";
    case 0x13:
      return "DXE_DEPEX";
    case 0x14:
      return "VERSION";
    case 0x15:
      return "USER_INTERFACE";
    case 0x16:
      return "COMPATIBILITY16";
    case 0x17:
      return "FIRMWARE_VOLUME_IMAGE";
    case 0x18:
      return "FREEFORM_SUBTYPE_GUID";
    case 0x19:
      return "RAW";
    case 0x1B:
      return "PEI_DEPEX";
    case 0x1C:
      return "MM_DEPEX";
    default:
      return fmt::format("section {:#04x}", type);
  }
}

std::vector<std::string> depex_words(Span depex) {
  constexpr std::string_view kWords[] = {"BEFORE", "AFTER", "PUSH", "AND", "OR", "NOT", "TRUE", "FALSE", "END", "SOR"};
  std::vector<std::string> out;
  for (u64 at = 0; at < depex.size(); ++at) {
    u8 const op = load_le<u8>(depex, at);
    if (op >= std::size(kWords)) {
      out.push_back(fmt::format("[unknown opcode {:#04x}]", op));
      return out;
    }
    std::string word{kWords[op]};
    if (op <= 2) {
      if (!fits(depex, at + 1, 16)) {
        out.push_back("[" + word + " without its GUID]");
        return out;
      }
      word += " " + named_guid(load_guid(depex, at + 1));
      at += 16;
    }
    out.push_back(std::move(word));
    if (op == 8) {
      return out;
    }
  }
  out.push_back("[no END]");
  return out;
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
    return out;
  }
  out.loadable = true;
  out.supervised = is_supervised(*pe);
  pe->for_each_relocation([&out](image::PeRelocation) { ++out.relocations; });
  return out;
}

std::expected<Listing, std::string> list_images(Span bytes) {
  Listing out;
  if (load_le<u16>(bytes, 0) == 0x5A4D || load_le<u16>(bytes, 0) == 0x5A56) {
    out.image = describe_image(bytes);
    out.kind = out.image->te ? "TE image" : "PE image";
    return out;
  }
  if (auto const file = lone_file_bytes(bytes)) {
    out.unpacked.push_back(std::make_unique<Bytes>(volume_around(bytes, *file)));
    Lister{out}.device(*out.unpacked.back());
    out.kind = "firmware file";
    return out;
  }
  Lister{out}.device(bytes);
  if (out.volumes.empty()) {
    return std::unexpected(out.problems.empty()
                               ? std::string{"neither a PE image nor anything with a firmware volume in it"}
                               : "no valid firmware volume: " + out.problems.front());
  }
  out.kind = out.volumes.size() == 1 && out.volumes[0].bytes == bytes.size() ? "firmware volume" : "firmware device";
  return out;
}

}  // namespace mm::scenario
