// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/text/program_name.hpp"

#include <utility>

namespace mm::lab {
namespace {

constexpr std::string_view kWord = "mmsim ";

std::string& name() {
  static std::string is{"mmsim"};
  return is;
}

/// Whether a command begins behind this text.
bool command_may_follow(std::string_view before) {
  auto const line = before.substr(before.rfind('\n') + 1);
  return line.find_first_not_of(' ') == std::string_view::npos || line.ends_with('`') || line.ends_with('(') ||
         line.ends_with("Example: ");
}

}  // namespace

void set_program_name(std::string is) { name() = std::move(is); }
std::string const& program_name() { return name(); }

std::string as_typed(std::string_view text) {
  std::string out;
  std::size_t done = 0;
  for (auto at = text.find(kWord); at != std::string_view::npos; at = text.find(kWord, at + kWord.size())) {
    if (command_may_follow(text.substr(0, at))) {
      out += text.substr(done, at - done);
      out += name();
      done = at + kWord.size() - 1;
    }
  }
  return out += text.substr(done);
}

}  // namespace mm::lab
