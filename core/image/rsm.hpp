// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/image/pe.hpp"

/// Search for RSM (0F AA, Intel SDM vol. 2), which in ring 3 would leave MM.
///
/// This finds the two bytes at every offset. Whether they are an instruction takes a disassembler: the host runner
/// decides that before it lets an image into a volume; the loader knows only "nowhere" (strict) and "not asked".
namespace mm::image {

/// Scans memory that is fed piece by piece; pieces that follow each other may split the pair.
class RsmScanner {
 public:
  /// Calls found(offset of 0F) for each pair that ends in `piece`, whose first byte has offset `at`.
  template <typename F>
  constexpr void feed(Bytes piece, u64 at, F&& found) noexcept {
    for (std::byte const b : piece) {
      if (pending_ && b == std::byte{0xAA}) {
        found(at - 1);
      }
      pending_ = b == std::byte{0x0F};
      ++at;
    }
  }
  /// The next piece does not follow the last one.
  constexpr void restart() noexcept { pending_ = false; }

 private:
  bool pending_ = false;
};

/// Calls found(section index, RVA of 0F) for each pair in the bytes that executable sections take from the file.
template <typename F>
constexpr void for_each_rsm(PeImage const& image, F&& found) noexcept {
  for (u32 i = 0; i < image.section_count(); ++i) {
    PeSection const s = image.section(i);
    if (!s.executable()) {
      continue;
    }
    RsmScanner scanner;
    scanner.feed(image.section_bytes(i), s.rva, [&found, i](u64 rva) { found(i, static_cast<u32>(rva)); });
  }
}

}  // namespace mm::image
