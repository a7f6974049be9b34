// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string_view>

namespace mm::audit {

/// What stands for `c` in the text or in an attribute of XML and HTML; empty: `c` itself, or it has no place there.
constexpr std::string_view entity_of(char c) noexcept {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    default:
      return {};
  }
}

}  // namespace mm::audit
