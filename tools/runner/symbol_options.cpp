// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/symbol_options.hpp"

#include <vector>

#include "tools/lab/symbols/symbolizer.hpp"

namespace mm::runner {
namespace {

/// One list for whichever command is chosen.
std::vector<std::string>& source_maps() {
  static std::vector<std::string> maps;
  return maps;
}

}  // namespace

void add_symbol_options(Arguments& command) {
  command.option("--source-map", source_maps(),
                 "FROM=TO: source files whose path begins with FROM are told with TO instead; may be repeated");
}

std::expected<void, std::string> use_symbol_options() {
  for (auto const& one : source_maps()) {
    auto const at = one.find('=');
    if (at == std::string::npos || at == 0) {
      return std::unexpected("--source-map " + one + ": write FROM=TO");
    }
    lab::symbolizer().map_sources(one.substr(0, at), one.substr(at + 1));
  }
  return {};
}

}  // namespace mm::runner
