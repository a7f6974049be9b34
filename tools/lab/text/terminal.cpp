// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/text/terminal.hpp"

#include <unistd.h>

#include <cstdlib>

namespace mm::lab {

bool is_terminal(int descriptor) {
  char const* const term = std::getenv("TERM");
  return ::isatty(descriptor) == 1 && term != nullptr && std::string_view{term} != "dumb";
}

bool is_coloured() {
  char const* const no = std::getenv("NO_COLOR");
  return is_terminal(STDOUT_FILENO) && (no == nullptr || *no == 0);
}

bool has_control(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto const byte = static_cast<unsigned char>(text[i]);
    bool const c1 = byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    bool const c0 = byte < 0x20 && byte != '\t' && byte != '\n';
    if (c0 || byte == 0x7F || c1) {
      return true;
    }
  }
  return false;
}

}  // namespace mm::lab
