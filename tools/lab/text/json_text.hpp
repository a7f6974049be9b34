// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace mm::lab {

enum class JsonForm : unsigned char {
  Line,      ///< no line break
  Indented,  ///< two blanks a level
};

/// The text of every JSON document that mmsim writes, with a line break at the end. Paths and texts of other people's
/// files need not be UTF-8: each sequence that is not becomes U+FFFD, and the document is never lost.
std::string json_text(nlohmann::json const& document, JsonForm form = JsonForm::Line);

/// `text` with U+FFFD in the place of what is not UTF-8 (RFC 3629: no surrogates, no overlong forms).
std::string valid_utf8(std::string_view text);

}  // namespace mm::lab
