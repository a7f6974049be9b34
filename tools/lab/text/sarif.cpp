// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/text/sarif.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "tools/lab/text/bytes.hpp"

namespace mm::lab {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// `text` without the numbers of offsets: "at .text+0x150" is "at .text+".
std::string without_offsets(std::string_view text) {
  constexpr std::string_view kOffset = "+0x";
  std::string out;
  for (auto at = text.find(kOffset); at != std::string_view::npos; at = text.find(kOffset)) {
    out += text.substr(0, at + 1);
    text.remove_prefix(at + kOffset.size());
    text.remove_prefix(std::min(text.find_first_not_of("0123456789abcdef"), text.size()));
  }
  return out += text;
}

/// Of what stays the same when other code or other lines are added.
u64 fingerprint(json const& result) {
  auto const& place = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
  auto const text = fmt::format("{}\n{}\n{}", result["ruleId"].get<std::string_view>(), place.get<std::string_view>(),
                                without_offsets(result["message"]["text"].get<std::string_view>()));
  return fnv1a(std::as_bytes(std::span{text}));
}

}  // namespace

std::string uri_reference(std::string_view file, std::string_view kept) {
  std::string out;
  for (char const c : file) {
    bool const plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view{"-._~"}.contains(c) || kept.contains(c);
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<u8>(c));
  }
  return out;
}

std::string artifact_uri(std::string_view file, std::string_view kept) {
  std::error_code error;
  auto const here = fs::current_path(error);
  auto const whole = (error ? fs::path{file} : here / file).lexically_normal();
  auto const relative = error ? fs::path{} : whole.lexically_relative(here);
  bool const below = !relative.empty() && *relative.begin() != "..";
  return below ? uri_reference(relative.string(), kept) : "file://" + uri_reference(whole.string(), kept);
}

json sarif_location(std::string uri, json region, std::string_view function) {
  if (!region.contains("startLine")) {
    region["startLine"] = 1;
  }
  json location{{"physicalLocation", {{"artifactLocation", {{"uri", std::move(uri)}}}, {"region", std::move(region)}}}};
  if (!function.empty()) {
    location["logicalLocations"] = json::array({{{"fullyQualifiedName", function}, {"kind", "function"}}});
  }
  return location;
}

json sarif_result(std::string_view id, u64 index, std::string_view level, std::string text, json location) {
  return {{"ruleId", id},
          {"ruleIndex", index},
          {"level", level},
          {"message", {{"text", std::move(text)}}},
          {"locations", json::array({std::move(location)})}};
}

json sarif_log(std::string_view tool, json rules, json results) {
  std::map<u64, u64> seen;
  for (auto& result : results) {
    auto const hash = fingerprint(result);
    result["partialFingerprints"] = {{"primaryLocationLineHash", fmt::format("{:016x}:{}", hash, ++seen[hash])}};
  }
  json const driver{{"name", tool}, {"version", MM_VERSION}, {"rules", std::move(rules)}};
  return {{"version", "2.1.0"},
          {"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
          {"runs", json::array({{{"tool", {{"driver", driver}}}, {"results", std::move(results)}}})}};
}

}  // namespace mm::lab
