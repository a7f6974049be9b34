// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/firmware/image_text.hpp"

#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include <array>

#include "tools/lab/firmware/code_kind.hpp"

namespace mm::lab {
namespace {

using image::load_le;
using image::PeProblem;
using Span = std::span<std::byte const>;

constexpr u32 kElf = 0x464C'457F;

/// Name of the section whose header holds file offset `at`, in quotes.
std::string section_at(Span file, u64 at) {
  auto const headers = image::PeHeaders::find(file);
  if (!headers || at < headers->section_at(0)) {
    return "?";
  }
  u64 const index = (at - headers->section_at(0)) / sizeof(image::PeSectionHeader);
  return fmt::format("section {} '{}'", index, section_name(file, headers->section_at(index)));
}

/// What the problem is about, to stand behind its text; empty when the text says it all.
std::string subject(Span file, image::PeError const& e) {
  auto const value = [&] { return fmt::format(": it is {:#x}", load_le<u32>(file, e.offset)); };
  switch (e.problem) {
    case PeProblem::DosMagic:
      return load_le<u32>(file, 0) == kElf ? ": it is an ELF file, of which GenFw makes the .efi" : "";
    case PeProblem::Machine:
      return ": it is " + machine_name(load_le<u16>(file, e.offset));
    case PeProblem::OptionalMagic:
      return fmt::format(": its magic is {:#x}", load_le<u16>(file, e.offset));
    case PeProblem::SectionAlignment:
      return value() + "; link with -z common-page-size=0x1000 (GCC, CLANGDWARF) or /ALIGN:4096 (CLANGPDB, MSVC)";
    case PeProblem::HeaderOverlap:
    case PeProblem::HeaderAlignment:
    case PeProblem::HeaderOffset:
    case PeProblem::FileAlignment:
    case PeProblem::ImageSize:
    case PeProblem::ImageTooLarge:
    case PeProblem::HeaderSize:
    case PeProblem::EntryPoint:
    case PeProblem::RelocationDirectory:
    case PeProblem::RelocationBlock:
      return value();
    case PeProblem::SectionCount:
      return fmt::format(": {} sections", load_le<u16>(file, e.offset));
    case PeProblem::SectionRaw:
    case PeProblem::SectionVirtual:
    case PeProblem::SectionOverlap:
    case PeProblem::SectionWriteExecute:
      return ": " + section_at(file, e.offset);
    case PeProblem::RelocationType:
      return fmt::format(": it has type {}", load_le<u16>(file, e.offset) >> 12);
    case PeProblem::RelocationsStripped:
      return ": it could only run at its ImageBase; link without /FIXED and keep .reloc";
    default:
      return {};
  }
}

}  // namespace

std::string machine_name(u16 machine) {
  switch (machine) {
    case 0x8664:
      return "x86-64";
    case 0x014C:
      return "IA-32";
    case 0xAA64:
      return "AArch64";
    case 0x0EBC:
      return "EFI byte code";
    default:
      return fmt::format("machine {:#x}", machine);
  }
}

std::string section_name(Span file, u64 header) {
  std::string name;
  for (u64 i = 0; i < 8 && load_le<u8>(file, header + i) != 0; ++i) {
    u8 const c = load_le<u8>(file, header + i);
    name.push_back(c >= 0x20 && c < 0x7F ? static_cast<char>(c) : '?');
  }
  return name;
}

std::string describe_problem(Span file, image::PeError const& error) {
  return fmt::format("{}{} (byte {:#x})", image::problem_text(error.problem), subject(file, error), error.offset);
}

std::optional<Instruction> instruction_at(Span file, u64 rva) {
  auto const image = image::PeImage::parse(file);
  if (!image) {
    return std::nullopt;
  }
  for (u32 i = 0; i < image->section_count(); ++i) {
    auto const section = image->section(i);
    if (rva < section.rva || rva - section.rva >= section.copy_size) {
      continue;
    }
    auto const code = image->section_bytes(i).subspan(rva - section.rva);
    ZydisDecoder decoder;
    ZydisDecodedInstruction decoded;
    std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands{};
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code.data(), code.size(), &decoded, operands.data()))) {
      return std::nullopt;
    }
    ZydisFormatter formatter;
    std::array<char, 128> text{};
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    ZydisFormatterFormatInstruction(&formatter, &decoded, operands.data(), decoded.operand_count_visible, text.data(),
                                    text.size(), rva, nullptr);
    auto const kind = code_kind(decoded);
    return Instruction{text.data(), kind == CodeKind::Policy || kind == CodeKind::Privileged};
  }
  return std::nullopt;
}

}  // namespace mm::lab
