// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mm::lab {

/// Most parts of one key, and most arrays and inline tables inside one another. A scenario needs two of each.
inline constexpr unsigned kMostKeyParts = 16;
inline constexpr unsigned kMostNesting = 16;

/// What in the shape of a TOML text is more than is read, with its line.
struct TomlShapeProblem {
  int line = 0;
  std::string text;
};

/// Looks at dots and brackets alone, without recursion: the library behind it takes a call for each table inside a
/// table, so that a key of some thousand parts would take the whole stack. Nothing: the text may be parsed.
std::optional<TomlShapeProblem> toml_shape_problem(std::string_view text);

}  // namespace mm::lab
