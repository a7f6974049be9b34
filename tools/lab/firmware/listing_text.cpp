// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/image/fv.hpp"
#include "tools/lab/firmware/volume_listing.hpp"

namespace mm::lab {

using image::fits;
using image::load_guid;
using image::load_le;
using Span = std::span<std::byte const>;

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
      out += file.image && file.image->malformed ? 1 : 0;
    }
  }
  return out;
}

namespace {

void add_losses(std::vector<ListedVolume> const& volumes, Losses& out) {
  for (auto const& volume : volumes) {
    for (auto const& problem : volume.problems) {
      out.damage.push_back(fmt::format("volume {}: {}", volume.where, problem));
    }
    for (auto const& remark : volume.remarks) {
      out.not_opened.push_back(fmt::format("volume {}: {}", volume.where, remark));
    }
    for (auto const& file : volume.files) {
      auto const name = file.ui.empty() ? format_guid(file.name) : file.ui;
      for (auto const& problem : file.problems) {
        out.damage.push_back(fmt::format("{} in the volume {}: {}", name, volume.where, problem));
      }
      for (auto const& remark : file.remarks) {
        out.not_opened.push_back(fmt::format("{} in the volume {}: {}", name, volume.where, remark));
      }
      add_losses(file.volumes, out);
    }
  }
}

}  // namespace

Losses losses_of(Listing const& listing) {
  Losses out{listing.problems, listing.remarks};
  add_losses(listing.volumes, out);
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

u8 depex_type_of(u8 file_type) {
  constexpr u8 kPeiCore = 0x04, kPeim = 0x06, kCombinedPeimDriver = 0x08;
  constexpr u8 kTraditionalMm = 0x0A, kCombinedMmDxe = 0x0C, kMmCore = 0x0D;
  switch (file_type) {
    case kPeiCore:
    case kPeim:
    case kCombinedPeimDriver:
      return 0x1B;
    case kTraditionalMm:
    case kCombinedMmDxe:
    case kMmCore:
    case image::file_type::kMmStandalone:
    case image::file_type::kMmCoreStandalone:
      return image::section_type::kMmDepex;
    default:
      return 0x13;
  }
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

}  // namespace mm::lab
