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

/// The URI of a file in a log: relative to the current folder when the file is in it or below, as the services want
/// that show a log beside the sources; else "file:///...".
std::string artifact_uri(std::string_view file, std::string_view kept = "/");

/// Where a finding is. `region`: null when it is about the whole file. Without a line in it the line is 1, because
/// services that show a log refuse what has none. `function`: in which; empty: not known.
nlohmann::json sarif_location(std::string uri, nlohmann::json region, std::string_view function = {});

/// A finding of the rule `id`, which stands at `index` of the rules. `level`: error, warning or note.
nlohmann::json sarif_result(std::string_view id, u64 index, std::string_view level, std::string text,
                            nlohmann::json location);

/// The log of a tool, with the version of this program. Each result gets the fingerprint by which a service knows it
/// again: of its rule, its first place but for the line, its text but for offsets in code, and a
/// number among equal ones.
nlohmann::json sarif_log(std::string_view tool, nlohmann::json rules, nlohmann::json results);

}  // namespace mm::lab
