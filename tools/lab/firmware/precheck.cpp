// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/firmware/precheck.hpp"

#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include "core/image/pe.hpp"
#include "tools/lab/firmware/image_text.hpp"

namespace mm::lab {
namespace {

void sweep(std::span<std::byte const> code, u32 rva, ImageFindings& findings) {
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  std::size_t at = 0;
  u32 boundaries = 0;
  while (at < code.size()) {
    ZydisDecodedInstruction instruction;
    bool const good = ZYAN_SUCCESS(
        ZydisDecoderDecodeInstruction(&decoder, nullptr, code.data() + at, code.size() - at, &instruction));
    if (good && instruction.mnemonic == ZYDIS_MNEMONIC_RSM) {
      ++boundaries;
      if (!findings.rsm_at_boundary) {
        findings.rsm_at_boundary = rva + static_cast<u32>(at);
      }
    }
    at += good ? instruction.length : 1;
  }
  u32 pairs = 0;
  for (std::size_t i = 0; i + 1 < code.size(); ++i) {
    pairs += code[i] == std::byte{0x0F} && code[i + 1] == std::byte{0xAA} ? 1 : 0;
  }
  findings.rsm_inside += pairs > boundaries ? pairs - boundaries : 0;
}

}  // namespace

std::expected<ImageFindings, std::string> check_image(std::span<std::byte const> bytes) {
  auto const image = image::PeImage::parse(bytes);
  if (!image) {
    return std::unexpected("malformed PE32+ image: " + describe_problem(bytes, image.error()));
  }
  ImageFindings findings;
  for (u32 i = 0; i < image->section_count(); ++i) {
    if (image->section(i).executable()) {
      auto const code = image->section_bytes(i);
      sweep(code, image->section(i).rva, findings);
    }
  }
  return findings;
}

}  // namespace mm::lab
