// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/firmware/lone_file.hpp"

#include "core/abi/guids.hpp"
#include "core/image/fv.hpp"

namespace mm::lab {

using image::fits;
using image::load_le;
using image::slice;
using Span = std::span<std::byte const>;

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

}  // namespace mm::lab
