// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "core/base/types.hpp"

namespace mm::lab {

/// The functions of one image, from the linker's map beside it: of lld-link and MSVC (/map), or of GNU ld and ld.lld
/// as GNU ld writes it (-Map).
class LinkMap {
 public:
  LinkMap() = default;
  /// Empty when there is no map, or when nothing in it is understood.
  static LinkMap load(std::filesystem::path const& map);
  static LinkMap parse(std::string const& text);

  /// A function, and where in the image it starts.
  struct Function {
    std::string name;
    u64 start = 0;
  };
  /// The symbol at or before the offset in the image; nothing when the image has none before it.
  std::optional<Function> at(u64 offset) const;
  bool empty() const noexcept { return names_.empty(); }

 private:
  std::map<u64, std::string> names_;
};

/// The name of a C++ function without its parameters and without "(anonymous namespace)"; `name` may be mangled by the
/// Itanium rules, demangled already, or a name of C.
std::string readable_name(std::string const& name);

}  // namespace mm::lab
