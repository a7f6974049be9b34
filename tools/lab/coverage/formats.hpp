// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>
#include <vector>

#include "tools/lab/coverage/lines.hpp"

/// Coverage as other programs read it.
namespace mm::lab {

/// One image and its lines.
struct CoveredImage {
  ImageCoverage const* image = nullptr;
  ImageLines lines;
};

/// drcov, version 2, as Lighthouse (IDA, Binary Ninja) and Ghidra read it: a module for each image, a block for each
/// block that ran. Blocks of 64 KiB and more are cut there.
std::string drcov_text(std::vector<CoveredImage> const& images);
/// lcov's tracefile with functions and lines; files of several images are one, their counts added.
std::string lcov_text(std::vector<CoveredImage> const& images);
/// One HTML page: each image with its functions, and the source files that are there with the counts of their lines.
std::string html_page(std::vector<CoveredImage> const& images);

}  // namespace mm::lab
