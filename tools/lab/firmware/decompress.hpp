// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <span>
#include <string>

#include "tools/lab/text/bytes.hpp"

/// The decompressors that firmware volumes use. The input is not trusted: what one listing may unpack is bounded.
namespace mm::lab {

/// Bytes that may still be unpacked, over all sections of one file.
struct UnpackBudget {
  u64 left = u64{256} << 20;
};

/// What was done to the bytes before they were packed.
enum class LzmaFilter : u8 {
  None,
  X86,  ///< targets of calls and jumps made absolute
};

/// GUIDed sections EE4E5898-... and, with the x86 filter, D42AE6BD-...: LZMA with the 13-byte header (properties,
/// dictionary size, unpacked size). The dictionary that is taken is not larger than what is unpacked. Error: a
/// sentence, when the stream is damaged or truncated, or unpacks to more than it says or than the budget has.
std::expected<Bytes, std::string> unpack_lzma(std::span<std::byte const> packed, UnpackBudget& budget,
                                              LzmaFilter filter = LzmaFilter::None);

/// GUIDed section 3D532050-...: u64 unpacked size, u64 scratch size, Brotli stream. Errors as of unpack_lzma().
std::expected<Bytes, std::string> unpack_brotli(std::span<std::byte const> packed, UnpackBudget& budget);

}  // namespace mm::lab
