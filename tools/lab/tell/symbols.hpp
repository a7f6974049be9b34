// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "core/base/types.hpp"

namespace mm::lab {

/// The functions of one image, from the linker's map beside it (lld-link /map).
class Symbols {
 public:
  Symbols() = default;
  /// Empty when there is no map, or when nothing in it is understood.
  static Symbols load(std::filesystem::path const& map);
  static Symbols parse(std::string const& text);

  /// "name+0x10" of the symbol at or before the offset in the image; nothing when the image has none before it.
  std::optional<std::string> at(u64 offset) const;

 private:
  std::map<u64, std::string> names_;
};

}  // namespace mm::lab
