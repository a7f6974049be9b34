// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <span>
#include <string>

#include "sim/scenario/bytes.hpp"

/// The two decompressors that firmware volumes use. The input is not trusted: what one listing may unpack is bounded.
namespace mm::scenario {

/// Bytes that may still be unpacked, over all sections of one file.
struct UnpackBudget {
  u64 left = u64{256} << 20;
};

/// GUIDed section EE4E5898-...: raw LZMA with the 13-byte header (properties, dictionary size, unpacked size). Error: a
/// sentence, when the stream is damaged or truncated, or unpacks to more than it says or than the budget has.
std::expected<Bytes, std::string> unpack_lzma(std::span<std::byte const> packed, UnpackBudget& budget);

/// GUIDed section 3D532050-...: u64 unpacked size, u64 scratch size, Brotli stream. Errors as of unpack_lzma().
std::expected<Bytes, std::string> unpack_brotli(std::span<std::byte const> packed, UnpackBudget& budget);

}  // namespace mm::scenario
