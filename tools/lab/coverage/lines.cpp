// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/coverage/lines.hpp"

#include <Zydis/Zydis.h>

#include <algorithm>

#include "tools/lab/symbols/pe_view.hpp"
#include "tools/lab/symbols/symbolizer.hpp"

namespace mm::lab {
namespace {

/// The length of one instruction, and whether it only fills a gap.
struct Decoded {
  u32 bytes = 0;  ///< 0: there is none
  bool padding = false;
};

Decoded decode(std::span<std::byte const> code) {
  ZydisDecoder decoder;
  ZydisDecodedInstruction out;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, nullptr, code.data(), code.size(), &out))) {
    return {};
  }
  return {out.length, out.mnemonic == ZYDIS_MNEMONIC_NOP || out.mnemonic == ZYDIS_MNEMONIC_INT3};
}

/// Every instruction of an image, and how often it ran.
std::map<u64, u64> instructions_of(ImageCoverage const& image, PeView const& view) {
  std::map<u64, u64> out;
  std::map<u64, u64> regions;  // of code that ran: begin and end
  for (auto const& [offset, block] : image.blocks) {
    u64 const end = offset + block.bytes;
    for (u64 at = offset; at < end;) {
      out[at] += block.count;
      at += std::max(1u, decode(view.at(at)).bytes);
    }
    auto const before = regions.empty() ? regions.end() : std::prev(regions.end());
    if (before != regions.end() && before->second >= offset) {
      before->second = std::max(before->second, end);
    } else {
      regions[offset] = end;
    }
  }
  for (Range const& section : view.code()) {
    for (u64 at = section.base; at < section.end();) {
      auto const next = regions.upper_bound(at);
      if (next != regions.begin() && std::prev(next)->second > at) {
        at = std::prev(next)->second;
        continue;
      }
      auto const decoded = decode(view.at(at));
      if (decoded.bytes != 0 && !decoded.padding) {
        out.try_emplace(at, 0);
      }
      at += std::max(1u, decoded.bytes);
    }
  }
  return out;
}

}  // namespace

ImageLines lines_of(ImageCoverage const& image) {
  ImageLines out;
  auto const bytes = image.file.bytes();
  auto const instructions = instructions_of(image, PeView{*bytes});
  std::vector<u64> offsets;
  for (auto const& [offset, count] : instructions) {
    offsets.push_back(offset);
  }
  auto const frames =
      image.core ? std::vector<std::vector<CodeFrame>>(offsets.size()) : symbolizer().frames(image.file, offsets);
  std::map<std::pair<std::string, u64>, CoveredFunction> functions;
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    u64 const count = instructions.at(offsets[i]);
    ++out.instructions;
    out.ran += count != 0 ? 1u : 0u;
    if (frames[i].empty()) {
      continue;
    }
    auto const& outer = frames[i].back();
    auto const [at, is_new] = functions.try_emplace({outer.function, outer.start});
    auto& function = at->second;
    if (is_new) {
      function = {outer.function, outer.file, outer.start_line != 0 ? outer.start_line : outer.line, offsets[i], count};
    }
    ++function.instructions;
    function.ran += count != 0 ? 1u : 0u;
    for (auto const& frame : frames[i]) {
      if (frame.line != 0 && !frame.file.empty()) {
        auto& line = out.lines[frame.file][frame.line];
        line = std::max(line, count);
      }
    }
  }
  for (auto& [key, function] : functions) {
    out.functions.push_back(std::move(function));
  }
  std::ranges::sort(out.functions, {}, &CoveredFunction::start);
  return out;
}

}  // namespace mm::lab
