// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tools/lab/text/bytes.hpp"

namespace mm::lab {

/// Words that the messages of an image may have to hold: the numbers that its code compares with or loads, in the width
/// of the instruction, the known GUIDs in it, and its texts. Each once, at most kMostWords. Empty for what is no image.
std::vector<Bytes> words_of(std::span<std::byte const> image);
inline constexpr std::size_t kMostWords = 4000;

/// Words as libFuzzer reads them from a file: one a line, every byte as \xNN.
std::string dictionary_text(std::span<Bytes const> words);

}  // namespace mm::lab
