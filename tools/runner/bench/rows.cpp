// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/bench/rows.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>

#include "sim/engine/engine.hpp"
#include "tools/lab/text/bytes.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner::bench {
namespace {

using nlohmann::json;

std::string processor() {
  std::ifstream in{"/proc/cpuinfo"};
  constexpr std::string_view kKey = "model name";
  for (std::string line; std::getline(in, line);) {
    auto const colon = line.find(": ");
    if (line.starts_with(kKey) && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "unknown";
}

#ifdef __OPTIMIZE__
constexpr bool kOptimised = true;
#else
constexpr bool kOptimised = false;
#endif
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitised = true;
#elif defined(__has_feature)
constexpr bool kSanitised = __has_feature(address_sanitizer);
#else
constexpr bool kSanitised = false;
#endif

}  // namespace

Row at_least(std::string id, std::string title, double value, double goal) {
  return {std::move(id), std::move(title), value, "MMI/s", fmt::format(">= {:.0f}", goal), value >= goal};
}

Row below(std::string id, std::string title, double value, std::string unit, double goal) {
  return {std::move(id), std::move(title), value, std::move(unit), fmt::format("< {:.0f}", goal), value < goal};
}

std::expected<OldValues, std::string> load_old(std::filesystem::path const& file) {
  MM_TRY_ASSIGN(auto const bytes, lab::read_file(file));
  auto const* const text = reinterpret_cast<char const*>(bytes.data());
  json const old = json::parse(text, text + bytes.size(), nullptr, false);
  if (!old.is_object() || !old.contains("rows") || !old["rows"].is_array()) {
    return std::unexpected(fmt::format("{}: not what `mmsim bench --json` writes", file.string()));
  }
  OldValues out;
  for (auto const& row : old["rows"]) {
    if (!row.is_object() || !row.contains("id") || !row["id"].is_string() || !row.contains("value") ||
        !row["value"].is_number()) {
      return std::unexpected(fmt::format("{}: a row without id and value", file.string()));
    }
    out[row["id"].get<std::string>()] = row["value"].get<double>();
  }
  return out;
}

std::string ratio(Row const& row, OldValues const& old) {
  auto const at = old.find(row.id);
  if (at == old.end() || at->second <= 0 || row.value <= 0) {
    return "";
  }
  return fmt::format("x{:.2f}", row.unit.ends_with("/s") ? row.value / at->second : at->second / row.value);
}

void print(std::vector<Row> const& rows, OldValues const& old) {
  for (auto const& r : rows) {
    auto const value = r.value >= 1000 ? fmt::format("{:.0f}", r.value) : fmt::format("{:.2f}", r.value);
    auto const met = r.met ? (*r.met ? "met" : "MISSED") : "";
    auto const line =
        fmt::format("{:<56} {:>9} {:<8} {:<10} {:<6} {}", r.title, value, r.unit, r.goal, met, ratio(r, old));
    std::cout << line.substr(0, line.find_last_not_of(' ') + 1) << '\n';
  }
}

json to_json(std::vector<Row> const& rows, OldValues const& old) {
  auto list = json::array();
  for (auto const& r : rows) {
    json row{{"id", r.id}, {"title", r.title}, {"value", r.value}, {"unit", r.unit}};
    if (r.met) {
      row["goal"] = r.goal;
      row["met"] = *r.met;
    }
    if (auto const at = old.find(r.id); at != old.end()) {
      row["old_value"] = at->second;
      row["ratio"] = ratio(r, old);
    }
    list.push_back(std::move(row));
  }
  return list;
}

json machine_facts() {
  utsname system{};
  ::uname(&system);
  std::array<double, 1> load{};
  bool const known = ::getloadavg(load.data(), 1) == 1;
  return {{"processor", processor()},
          {"processors", std::thread::hardware_concurrency()},
          {"load", known ? json(load[0]) : json(nullptr)},
          {"system", fmt::format("{} {}", system.sysname, system.release)},
          {"compiler", __VERSION__},
          {"optimised", kOptimised},
          {"sanitizers", kSanitised},
          {"engine", sim::engine_version()},
          {"qemu", qemu_version()}};
}

}  // namespace mm::runner::bench
