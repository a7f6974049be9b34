// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/text/sarif.hpp"

#include <fmt/format.h>

#include <utility>

namespace mm::lab {

using nlohmann::json;

std::string uri_reference(std::string_view file, std::string_view kept) {
  std::string out;
  for (char const c : file) {
    bool const plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view{"-._~"}.contains(c) || kept.contains(c);
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<u8>(c));
  }
  return out;
}

json sarif_location(std::string uri, json region) {
  json physical{{"artifactLocation", {{"uri", std::move(uri)}}}};
  if (!region.is_null()) {
    physical["region"] = std::move(region);
  }
  return {{"physicalLocation", std::move(physical)}};
}

json sarif_result(std::string_view id, u64 index, std::string_view level, std::string text, json location) {
  return {{"ruleId", id},
          {"ruleIndex", index},
          {"level", level},
          {"message", {{"text", std::move(text)}}},
          {"locations", json::array({std::move(location)})}};
}

json sarif_log(std::string_view tool, json rules, json results) {
  json const driver{{"name", tool}, {"rules", std::move(rules)}};
  return {{"version", "2.1.0"},
          {"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
          {"runs", json::array({{{"tool", {{"driver", driver}}}, {"results", std::move(results)}}})}};
}

}  // namespace mm::lab
