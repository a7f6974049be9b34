// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/gdb_script.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "tools/lab/symbols/debug_file.hpp"
#include "tools/lab/tell/places.hpp"

namespace mm::lab {
namespace {

/// The name of a convenience variable.
std::string variable(std::string name) {
  std::ranges::replace_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return "$" + name;
}

/// A file name as gdb reads it in a command: its quotes know no line end.
std::string quoted(std::filesystem::path const& path) {
  std::string out = "\"";
  for (char const c : path.string()) {
    out += c == '"' || c == '\\' ? fmt::format("\\{}", c) : std::string(1, c);
  }
  return out + "\"";
}

}  // namespace

std::string gdb_script(Prepared const& prepared, MachineRun const& run, std::filesystem::path const& socket) {
  CodePlaces const places{prepared, run.trace};
  std::string out = "set confirm off\nset architecture i386:x86-64\n";
  for (auto const& image : places.images()) {
    out += fmt::format("set {} = {:#x}\n", variable(image.name), image.where.base);
    if (auto const debug = find_debug_file(image.file); debug && debug->dwarf) {
      out += fmt::format("add-symbol-file {} -o {:#x}\n", quoted(debug->object), image.where.base - debug->base);
    } else {
      out += fmt::format("# {}: no DWARF; its code is from {} on\n", image.name, variable(image.name));
    }
  }
  return out + fmt::format("target remote {}\n", socket.string());
}

}  // namespace mm::lab
