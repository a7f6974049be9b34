// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/firmware/fv_writer.hpp"

#include "core/abi/guids.hpp"

namespace mm::lab {
namespace {

constexpr u64 kBlock = 0x1000;
constexpr u64 kLimit24 = 0xFF'FFFF;
constexpr std::size_t kHeader = 72;
constexpr u64 kMaxVolume = 0x8000'0000;

void append_section(Bytes& file, u8 type, std::span<std::byte const> body) {
  pad_to(file, 4);
  bool const large = body.size() + 4 >= kLimit24;
  append_int(file, large ? kLimit24 : body.size() + 4, 3);
  append_int(file, type, 1);
  if (large) {
    append_int(file, body.size() + 8, 4);
  }
  append_bytes(file, body);
}

Bytes utf16(std::string const& text) {
  Bytes out;
  for (char const c : text) {
    append_int(out, static_cast<unsigned char>(c), 2);
  }
  append_int(out, 0, 2);
  return out;
}

u8 sum8(std::span<std::byte const> bytes) {
  unsigned sum = 0;
  for (std::byte const b : bytes) {
    sum += static_cast<unsigned>(b);
  }
  return static_cast<u8>(sum);
}

Bytes sections_of(FvFileSpec const& spec) {
  Bytes body;
  if (spec.depex) {
    append_section(body, 0x1C, *spec.depex);
  }
  if (spec.pe32) {
    append_section(body, 0x10, *spec.pe32);
  }
  if (spec.raw) {
    append_section(body, 0x19, *spec.raw);
  }
  if (!spec.ui.empty()) {
    append_section(body, 0x15, utf16(spec.ui));
  }
  return body;
}

/// Header with both checksums, then the sections. The state byte is stored inverted (erase polarity 1).
Bytes file_bytes(FvFileSpec const& spec, Bytes const& body) {
  bool const large = body.size() + 24 > kLimit24;
  Bytes out;
  append_object(out, spec.name);
  append_int(out, 0, 2);
  append_int(out, spec.type, 1);
  append_int(out, 0x40u | (large ? 1u : 0u), 1);
  append_int(out, large ? 0 : body.size() + 24, 3);
  append_int(out, 0, 1);
  if (large) {
    append_int(out, body.size() + 32, 8);
  }
  out[16] = static_cast<std::byte>(-sum8(out));
  out[17] = static_cast<std::byte>(-sum8(body));
  out[23] = std::byte{0xF8};
  append_bytes(out, body);
  return out;
}

}  // namespace

Bytes volume_header(Guid const& file_system, u64 bytes) {
  Bytes out;
  append_int(out, 0, 8);
  append_int(out, 0, 8);
  append_object(out, file_system);
  append_int(out, bytes, 8);
  append_int(out, 0x4856'465F, 4);
  append_int(out, 0x0004'FEFF, 4);  // read, write, lock, memory mapped, erased bits are ones
  append_int(out, kHeader, 2);
  append_int(out, 0, 2);  // checksum
  append_int(out, 0, 2);  // no extended header
  append_int(out, 0, 1);
  append_int(out, 2, 1);
  append_int(out, bytes / kBlock, 4);
  append_int(out, kBlock, 4);
  append_int(out, 0, 8);
  unsigned sum = 0;
  for (std::size_t i = 0; i < kHeader; i += 2) {
    sum += static_cast<unsigned>(load_int(out, i, 2));
  }
  out[50] = static_cast<std::byte>(-sum);
  out[51] = static_cast<std::byte>((-sum) >> 8);
  return out;
}

std::expected<Bytes, std::string> write_fv(std::vector<FvFileSpec> const& files) {
  bool large = false;
  Bytes content;
  for (auto const& spec : files) {
    Bytes const body = sections_of(spec);
    large = large || body.size() + 24 > kLimit24;
    if (content.size() + body.size() > kMaxVolume) {
      return std::unexpected(std::string{"the images do not fit in a firmware volume"});
    }
    pad_to(content, 8, std::byte{0xFF});
    append_bytes(content, file_bytes(spec, body));
  }
  u64 const length = align_up(kHeader + content.size(), kBlock);
  Bytes out = volume_header(large ? guids::gEfiFirmwareFileSystem3Guid : guids::gEfiFirmwareFileSystem2Guid, length);
  append_bytes(out, content);
  out.resize(static_cast<std::size_t>(length), std::byte{0xFF});
  return out;
}

}  // namespace mm::lab
