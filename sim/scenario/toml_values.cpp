// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/scenario/toml_values.hpp"

#include <algorithm>

#include "core/abi/platform.hpp"

namespace mm::scenario {

void TomlValues::fail(toml::node const& at, std::string const& what) const {
  throw TomlProblem{fmt::format("{}:{}: {}", file_.string(), at.source().begin.line, what)};
}

void TomlValues::only(toml::table const& t, std::vector<std::string_view> const& keys, std::string_view where) const {
  for (auto const& [key, node] : t) {
    std::string_view const name = key.str();
    if (std::find(keys.begin(), keys.end(), name) != keys.end()) {
      continue;
    }
    auto const near = nearest(name, keys);
    fail(node, fmt::format("unknown key '{}' in {}{}", name, where,
                           near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
  }
}

int TomlValues::line_of(toml::node const* node) {
  return node == nullptr ? 0 : static_cast<int>(node->source().begin.line);
}

std::optional<std::string> TomlValues::text(toml::table const& t, std::string_view key) const {
  auto const* node = find(t, key);
  if (node == nullptr) {
    return std::nullopt;
  }
  if (!node->is_string()) {
    fail(*node, fmt::format("{} must be a string", key));
  }
  return node->value<std::string>();
}

std::optional<bool> TomlValues::flag(toml::table const& t, std::string_view key) const {
  auto const* node = find(t, key);
  if (node != nullptr && !node->is_boolean()) {
    fail(*node, fmt::format("{} must be true or false", key));
  }
  return node == nullptr ? std::nullopt : node->value<bool>();
}

u64 TomlValues::number_of(toml::node const& node, std::string_view key) const {
  if (auto const* i = node.as_integer()) {
    if (i->get() < 0) {
      fail(node, fmt::format("{} must not be negative", key));
    }
    return static_cast<u64>(i->get());
  }
  if (auto const* s = node.as_string()) {
    return address(node, s->get(), key);
  }
  fail(node, fmt::format("{} must be a number", key));
}

u64 TomlValues::address(toml::node const& node, std::string const& value, std::string_view key) const {
  auto const plus = value.find('+');
  auto const head = value.substr(0, plus);
  std::pair<std::string_view, u64> const regions[] = {
      {"mmram", boot_.ram_bytes - boot_.tseg_bytes},          {"user-comm", platform::kUserCommBuffer},
      {"supervisor-comm", platform::kSupervisorCommBuffer},   {"user-status", platform::kUserCommStatus},
      {"supervisor-status", platform::kSupervisorCommStatus}, {"scratch", platform::kScratch}};
  u64 base = 0;
  std::string rest = value;
  for (auto const& [name, at] : regions) {
    if (head == name) {
      base = at;
      rest = plus == std::string::npos ? "0" : value.substr(plus + 1);
    }
  }
  std::size_t used = 0;
  u64 v = 0;
  try {
    v = std::stoull(rest, &used, 0);
  } catch (std::exception const&) {
    used = 0;
  }
  if (used == 0 || used != rest.size() || rest.front() == '-') {
    fail(node, fmt::format("{} = \"{}\" is not a number (nor mmram, user-comm, supervisor-comm, user-status, "
                           "supervisor-status or scratch with an optional +offset)",
                           key, value));
  }
  return base + v;
}

std::optional<u64> TomlValues::number(toml::table const& t, std::string_view key, u64 low, u64 high) const {
  auto const* node = find(t, key);
  if (node == nullptr) {
    return std::nullopt;
  }
  u64 const v = number_of(*node, key);
  if (v < low || v > high) {
    fail(*node,
         fmt::format("{} = {} is out of range ({} to {})", key, hex_number(v), hex_number(low), hex_number(high)));
  }
  return v;
}

u64 TomlValues::need(toml::table const& t, std::string_view key, u64 high) const {
  auto const v = number(t, key, 0, high);
  if (!v) {
    fail(t, fmt::format("{} is missing", key));
  }
  return *v;
}

toml::table const* TomlValues::table(toml::table const& t, std::string_view key) const {
  auto const* node = find(t, key);
  return node == nullptr ? nullptr : &as_table(*node, key);
}

toml::table const& TomlValues::as_table(toml::node const& node, std::string_view key) const {
  if (auto const* t = node.as_table()) {
    return *t;
  }
  fail(node, fmt::format("{} must be a table", key));
}

toml::array const& TomlValues::array(toml::table const& t, std::string_view key) const {
  static toml::array const empty;
  auto const* node = find(t, key);
  if (node == nullptr) {
    return empty;
  }
  if (auto const* a = node->as_array()) {
    return *a;
  }
  fail(*node, fmt::format("{} must be an array", key));
}

std::string TomlValues::string(toml::node const& node, std::string_view key) const {
  if (auto const* s = node.as_string()) {
    return s->get();
  }
  fail(node, fmt::format("{} must be a string", key));
}

std::filesystem::path TomlValues::path(std::string const& name) const {
  std::filesystem::path const p{name};
  return p.is_absolute() ? p : file_.parent_path() / p;
}

Bytes TomlValues::contents(toml::node const& at, std::string const& name) const {
  auto bytes = read_file(path(name));
  if (!bytes) {
    fail(at, bytes.error());
  }
  return std::move(*bytes);
}

Bytes TomlValues::hex(toml::node const& at, std::string const& value) const {
  auto bytes = parse_hex(value);
  if (!bytes) {
    fail(at, bytes.error());
  }
  return std::move(*bytes);
}

Bytes TomlValues::field(toml::table const& t) const {
  only(t, {"u8", "u16", "u32", "u64", "guid", "text", "hex", "at"}, "a field");
  Bytes out;
  for (auto const& [key, width] : {std::pair{"u8", 1u}, {"u16", 2u}, {"u32", 4u}, {"u64", 8u}}) {
    u64 const high = width == 8 ? UINT64_MAX : (u64{1} << (8 * width)) - 1;
    if (auto const v = number(t, key, 0, high)) {
      append_int(out, *v, width);
    }
  }
  if (auto const name = text(t, "guid")) {
    append_object(out, guid(*find(t, "guid"), *name));
  }
  if (auto const v = text(t, "text")) {
    append_text(out, *v);
  }
  if (auto const v = text(t, "hex")) {
    append_bytes(out, hex(*find(t, "hex"), *v));
  }
  if (out.empty()) {
    fail(t, "a field has one of u8, u16, u32, u64, guid, text and hex");
  }
  return out;
}

Bytes TomlValues::data(toml::table const& t) const {
  Bytes out;
  if (auto const v = text(t, "text")) {
    append_text(out, *v);
  }
  if (auto const v = text(t, "hex")) {
    append_bytes(out, hex(*find(t, "hex"), *v));
  }
  if (auto const v = text(t, "file")) {
    append_bytes(out, contents(*find(t, "file"), *v));
  }
  for (auto const& node : array(t, "fields")) {
    append_bytes(out, field(as_table(node, "fields")));
  }
  if (auto const n = number(t, "pad", 0, 1 << 20)) {
    out.resize(static_cast<std::size_t>(*n));
  }
  return out;
}

Guid TomlValues::guid(toml::node const& at, std::string const& name) const {
  auto const found = find_guid(name);
  if (!found) {
    fail(at, found.error());
  }
  return *found;
}

}  // namespace mm::scenario
