// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scan/words.hpp"

#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "core/image/pe.hpp"
#include "tools/lab/text/edk2_names.hpp"

namespace mm::lab {
namespace {

constexpr std::size_t kShortestText = 4, kLongestText = 40;

class Words {
 public:
  /// From every place in the code: data between functions costs a few useless words, and no path is missed.
  void code(std::span<std::byte const> bytes) {
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecodedInstruction instruction;
    std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;
    for (std::size_t at = 0; at < bytes.size();) {
      if (ZYAN_FAILED(
              ZydisDecoderDecodeFull(&decoder, bytes.data() + at, bytes.size() - at, &instruction, operands.data()))) {
        ++at;
        continue;
      }
      at += instruction.length;
      if (compares(instruction.mnemonic)) {
        for (unsigned i = 0; i < instruction.operand_count_visible; ++i) {
          if (operands[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
            number(operands[i].imm.value.u, operands[0].size / 8);
          }
        }
      }
    }
  }
  void data(std::span<std::byte const> bytes) {
    for (auto const& known : edk2_names()) {
      auto const guid = std::as_bytes(std::span{&known.guid, 1});
      if (!std::ranges::search(bytes, guid).empty()) {
        add({guid.begin(), guid.end()});
      }
    }
    texts(bytes, 1);
    texts(bytes, 2);
  }
  std::vector<Bytes> take() { return std::move(words_); }

 private:
  static bool compares(ZydisMnemonic mnemonic) {
    constexpr std::array kCompares{ZYDIS_MNEMONIC_CMP,  ZYDIS_MNEMONIC_SUB, ZYDIS_MNEMONIC_XOR,
                                   ZYDIS_MNEMONIC_TEST, ZYDIS_MNEMONIC_MOV, ZYDIS_MNEMONIC_ADD};
    return std::ranges::find(kCompares, mnemonic) != kCompares.end();
  }
  /// Small numbers are found without.
  void number(u64 value, unsigned width) {
    constexpr u64 kSmall = 0x100;
    Bytes bytes;
    append_int(bytes, value, std::clamp(width, 1u, 8u));
    bool const small = value < kSmall || ~value < kSmall;
    if (!small && width >= 2) {
      add(std::move(bytes));
    }
  }
  /// Runs of printable characters of `width` bytes each.
  void texts(std::span<std::byte const> bytes, std::size_t width) {
    Bytes run;
    for (std::size_t at = 0; at + width <= bytes.size(); at += width) {
      auto const c = load_int(bytes, at, static_cast<unsigned>(width));
      if (c >= ' ' && c < 0x7F) {
        append_int(run, c, static_cast<unsigned>(width));
        continue;
      }
      text(run, width);
      run.clear();
    }
    text(run, width);
  }
  void text(Bytes const& run, std::size_t width) {
    if (run.size() >= kShortestText * width && run.size() <= kLongestText * width) {
      add(run);
    }
  }
  void add(Bytes word) {
    if (words_.size() < kMostWords && seen_.insert(word).second) {
      words_.push_back(std::move(word));
    }
  }

  std::vector<Bytes> words_;
  std::set<Bytes> seen_;
};

}  // namespace

std::vector<Bytes> words_of(std::span<std::byte const> file) {
  auto const pe = image::PeImage::parse(file);
  if (!pe) {
    return {};
  }
  Words words;
  for (u32 i = 0; i < pe->section_count(); ++i) {
    if (pe->section(i).executable()) {
      words.code(pe->section_bytes(i));
    } else {
      words.data(pe->section_bytes(i));
    }
  }
  return words.take();
}

std::string dictionary_text(std::span<Bytes const> words) {
  std::string out;
  for (auto const& word : words) {
    out += '"';
    for (auto const b : word) {
      out += fmt::format("\\x{:02x}", std::to_integer<unsigned>(b));
    }
    out += "\"\n";
  }
  return out;
}

}  // namespace mm::lab
