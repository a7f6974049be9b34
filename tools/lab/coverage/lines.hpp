// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tools/lab/coverage/coverage.hpp"

namespace mm::lab {

/// A function of an image, whatever was inlined into it.
struct CoveredFunction {
  std::string name;
  std::string file;  ///< empty: unknown
  u32 line = 0;      ///< 0: unknown
  u64 start = 0;     ///< offset of its first instruction in the image
  u64 count = 0;     ///< how often that one ran
  u32 instructions = 0;
  u32 ran = 0;  ///< of the instructions
};

/// An image by functions and lines. Instructions are those that ran, and behind them what a walk over the code from its
/// beginning finds; padding (NOP, INT3) that did not run is none.
struct ImageLines {
  std::vector<CoveredFunction> functions;           ///< by `start`
  std::map<std::string, std::map<u32, u64>> lines;  ///< file, line: how often its most frequent instruction ran
  u32 instructions = 0;
  u32 ran = 0;
};

/// Asks the symbolizer about every instruction of a driver. Without symbols, and of cores, there are counts alone.
ImageLines lines_of(ImageCoverage const& image);

}  // namespace mm::lab
