// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/text/json_text.hpp"

#include <nlohmann/json.hpp>

namespace mm::lab {

std::string json_text(nlohmann::json const& document, JsonForm form) {
  return document.dump(form == JsonForm::Line ? -1 : 2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

std::string valid_utf8(std::string_view text) {
  auto const quoted = nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return nlohmann::json::parse(quoted).get<std::string>();
}

}  // namespace mm::lab
