// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/coverage/formats.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "tools/lab/text/bytes.hpp"

namespace mm::lab {
namespace {

/// The functions and lines of one source file.
struct SourceFile {
  std::map<std::pair<u32, std::string>, u64> functions;
  std::map<u32, u64> lines;
};

std::map<std::string, SourceFile> source_files(std::vector<CoveredImage> const& images) {
  std::map<std::string, SourceFile> out;
  for (auto const& one : images) {
    for (auto const& [file, lines] : one.lines.lines) {
      for (auto const& [line, count] : lines) {
        out[file].lines[line] += count;
      }
    }
    for (auto const& function : one.lines.functions) {
      if (!function.file.empty()) {
        out[function.file].functions[{function.line, function.name}] += function.count;
      }
    }
  }
  return out;
}

std::string absolute(std::string const& file) {
  std::error_code error;
  auto const path = std::filesystem::absolute(file, error);
  return error ? file : path.lexically_normal().string();
}

}  // namespace

std::string drcov_text(std::vector<CoveredImage> const& images) {
  constexpr u64 kMostOfABlock = 0xFFFF;
  std::string out = "DRCOV VERSION: 2\nDRCOV FLAVOR: mmsim\n";
  out += fmt::format("Module Table: version 2, count {}\nColumns: id, base, end, entry, path\n", images.size());
  Bytes blocks;
  u64 count = 0;
  for (std::size_t id = 0; id < images.size(); ++id) {
    auto const& image = *images[id].image;
    out += fmt::format("{:3}, 0x{:016x}, 0x{:016x}, 0x{:016x}, {}\n", id, image.base, image.base + image.bytes,
                       image.base + image.entry, absolute(image.file.file.string()));
    for (auto const& [offset, block] : image.blocks) {
      for (u64 done = 0; done < block.bytes; done += kMostOfABlock) {
        append_int(blocks, offset + done, 4);
        append_int(blocks, std::min<u64>(kMostOfABlock, block.bytes - done), 2);
        append_int(blocks, id, 2);
        ++count;
      }
    }
  }
  out += fmt::format("BB Table: {} bbs\n", count);
  out.append(reinterpret_cast<char const*>(blocks.data()), blocks.size());
  return out;
}

std::string lcov_text(std::vector<CoveredImage> const& images) {
  std::string out;
  auto const positive = [](auto const& entries) {
    return std::ranges::count_if(entries, [](auto const& entry) { return entry.second != 0; });
  };
  for (auto const& [name, file] : source_files(images)) {
    out += fmt::format("TN:\nSF:{}\n", absolute(name));
    for (auto const& [function, count] : file.functions) {
      out += fmt::format("FN:{},{}\n", function.first, function.second);
    }
    for (auto const& [function, count] : file.functions) {
      out += fmt::format("FNDA:{},{}\n", count, function.second);
    }
    out += fmt::format("FNF:{}\nFNH:{}\n", file.functions.size(), positive(file.functions));
    for (auto const& [line, count] : file.lines) {
      out += fmt::format("DA:{},{}\n", line, count);
    }
    out += fmt::format("LF:{}\nLH:{}\nend_of_record\n", file.lines.size(), positive(file.lines));
  }
  return out;
}

}  // namespace mm::lab
