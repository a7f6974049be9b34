// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/base/types.hpp"

/// SARIF 2.1.0: what the log of every tool has.
namespace mm::lab {

/// A file name as a URI reference (RFC 3986): all but unreserved characters and `kept` is escaped.
std::string uri_reference(std::string_view file, std::string_view kept = "/");

/// Where a finding is. `region`: null when it is about the whole file.
nlohmann::json sarif_location(std::string uri, nlohmann::json region);

/// A finding of the rule `id`, which stands at `index` of the rules. `level`: error, warning or note.
nlohmann::json sarif_result(std::string_view id, u64 index, std::string_view level, std::string text,
                            nlohmann::json location);

nlohmann::json sarif_log(std::string_view tool, nlohmann::json rules, nlohmann::json results);

}  // namespace mm::lab
