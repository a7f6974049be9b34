// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/guid.hpp"
#include "core/base/types.hpp"
#include "tools/lab/text/bytes.hpp"

/// What is in a firmware volume, a firmware device (flash image) or a PE image: for `mmsim images` and `mmsim send`.
/// The input is not trusted: damage becomes a sentence in `problems`, and what is around it is still listed.
namespace mm::lab {

/// One section of a PE image.
struct ListedPeSection {
  std::string name;
  u32 rva = 0;
  u32 bytes = 0;
  std::string rights;  ///< "R", "RW", "RX", "RWX"
};

/// A PE or TE image.
struct ListedImage {
  bool te = false;
  bool loadable = false;    ///< the loader's own checks accept it
  bool supervised = false;  ///< entry of a supervised driver (core/user/RING3.md 2.2)
  bool malformed = false;   ///< damaged, and not only of a kind that is not loaded here
  std::string problem;      ///< why it is not loadable
  u16 subsystem = 0;        ///< as in the header
  std::string machine;
  u32 entry = 0, bytes = 0, alignment = 0, relocations = 0;
  std::vector<ListedPeSection> sections;
};

struct ListedVolume;

/// One section of a file; what an encapsulation holds is in `inner`, or in `volumes` of its file.
struct ListedSection {
  u8 type = 0;
  u64 bytes = 0;
  unsigned depth = 0;  ///< encapsulations around it inside its file
  std::string note;    ///< codec, subtype, ...
};

/// A dependency expression that does not count for the type of its file: the DXE part of a combined driver.
struct ListedDepex {
  u8 type = 0;  ///< of its section
  std::vector<std::string> words;
};

struct ListedFile {
  Guid name;
  u8 type = 0;
  u64 offset = 0;  ///< in its volume
  u64 bytes = 0;
  std::string ui;
  std::vector<ListedSection> sections;
  std::optional<std::span<std::byte const>> depex;  ///< that its dispatcher reads: of MM drivers the MM_DEPEX section
  std::vector<std::string> depex_words;
  std::vector<ListedDepex> other_depexes;
  std::vector<Guid> apriori;  ///< of the a-priori file: the files it names. No Standalone MM core honours it
  std::optional<ListedImage> image;
  std::span<std::byte const> pe;                  ///< the PE32 section's bytes
  std::optional<std::span<std::byte const>> raw;  ///< the first RAW section's bytes
  bool damaged = false;                           ///< its header or checksum is wrong: a loader would not take it
  std::optional<u64> superseded_by;  ///< it is MARKED_FOR_UPDATE, and this is the offset of the file that counts
  std::vector<std::string> problems;
  std::vector<std::string> remarks;   ///< what is not opened
  std::vector<ListedVolume> volumes;  ///< nested
};

struct ListedVolume {
  std::string where;  ///< "offset 0x84000", or "in file ..."
  u64 bytes = 0;
  bool ffs = true;  ///< false: a volume with another file system (variable store, FFS1): not opened
  std::string file_system;
  std::vector<ListedFile> files;
  u32 pads = 0;
  std::vector<std::string> problems;
  std::vector<std::string> remarks;  ///< what is not opened, and what no loader looks at
};

/// Everything in one file. Spans point into the bytes given and into `unpacked`.
struct Listing {
  std::string kind;  ///< "PE image", "TE image", "firmware file", "firmware volume", "firmware device"
  std::optional<ListedImage> image;
  std::vector<ListedVolume> volumes;
  std::vector<std::string> problems;
  std::vector<std::string> remarks;
  std::vector<std::unique_ptr<Bytes>> unpacked;
};

/// Lists `bytes`, which must outlive the result. What one listing takes is bounded: nested 8 deep, 100,000 files and
/// sections, 256 MiB unpacked; each bound says so when it is reached. Error: a sentence; it is none of the kinds.
std::expected<Listing, std::string> list_images(std::span<std::byte const> bytes);

/// Calls f(file) for every file of all volumes, nested ones at the place of the file that holds them.
template <typename F>
void for_each_file(std::vector<ListedVolume> const& volumes, F&& f) {
  for (auto const& volume : volumes) {
    for (auto const& file : volume.files) {
      f(file);
      for_each_file(file.volumes, f);
    }
  }
}

/// The MM drivers and MM cores, traditional and standalone, of all volumes, nested ones included.
std::vector<ListedFile const*> mm_modules(std::vector<ListedVolume> const& volumes);
/// How many problems the volumes have: their own, those of their files and images, those of what is nested.
std::size_t count_problems(std::vector<ListedVolume> const& volumes);

/// Why there may be more in a file than its listing has. Damage that hides or removes a file, and what is not opened.
struct Losses {
  std::vector<std::string> damage;
  std::vector<std::string> not_opened;
};
Losses losses_of(Listing const& listing);

/// The type of the dependency section that the dispatcher of a file of this type reads: MM, PEI or DXE.
u8 depex_type_of(u8 file_type);
/// "EFI application", "EFI boot service driver", ...; "subsystem 3" when it is none of EFI's.
std::string subsystem_name(u16 subsystem);
/// "MM_STANDALONE", "MM (traditional)", ...; "type 0x42" when unknown.
std::string file_type_name(u8 type);
std::string section_type_name(u8 type);
/// A dependency expression in words, one opcode each; ends with a sentence in brackets where it is malformed.
std::vector<std::string> depex_words(std::span<std::byte const> depex);
/// What is to be said about one PE or TE image.
ListedImage describe_image(std::span<std::byte const> bytes);

}  // namespace mm::lab
