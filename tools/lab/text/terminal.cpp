// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/text/terminal.hpp"

#include <sys/ioctl.h>
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

u32 terminal_columns(int descriptor) {
  winsize size{};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 ? size.ws_col : 80;
}

std::string shortened(std::string_view text, std::size_t columns) {
  constexpr std::string_view kLeftOut = "...";
  if (text.size() <= columns) {
    return std::string{text};
  }
  if (columns <= kLeftOut.size()) {
    return std::string{kLeftOut.substr(0, columns)};
  }
  std::size_t const kept = columns - kLeftOut.size();
  std::string out{text.substr(0, kept / 2)};
  out += kLeftOut;
  return out += text.substr(text.size() - (kept - kept / 2));
}

std::string without_controls(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto const byte = static_cast<unsigned char>(text[i]);
    bool const c0 = byte < 0x20 && byte != '\t' && byte != '\n';
    auto const next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0u;
    bool const c1 = byte == 0xC2 && next >= 0x80 && next < 0xA0;
    out += c0 || c1 || byte == 0x7F ? '?' : text[i];
    i += c1 ? 1 : 0;
  }
  return out;
}

std::string serial_text(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bool const line_end = text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
    plain += line_end ? "" : std::string(1, text[i]);
  }
  return without_controls(plain);
}

}  // namespace mm::lab
