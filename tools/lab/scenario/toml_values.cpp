// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scenario/toml_values.hpp"
#include "tools/lab/text/terminal.hpp"

#include <algorithm>
#include <charconv>

#include "core/abi/platform.hpp"

namespace mm::lab {

namespace {

/// All of `text` as a number: hexadecimal with 0x, else decimal. Nothing for signs, blanks, leading zeros (which mean
/// octal to some and nothing to others), and more than 64 bits.
std::optional<TomlNumber> parse_number(std::string_view text) {
  bool const hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  text.remove_prefix(hexadecimal ? 2 : 0);
  TomlNumber out{0, hexadecimal};
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), out.value, hexadecimal ? 16 : 10);
  bool const leading_zero = !hexadecimal && text.size() > 1 && text[0] == '0';
  bool const whole = error == std::errc{} && end == text.data() + text.size();
  return whole && !leading_zero ? std::optional{out} : std::nullopt;
}

std::string as_written(TomlNumber const& n) { return n.hexadecimal ? hex_number(n.value) : fmt::format("{}", n.value); }

}  // namespace

std::string TomlValues::place(toml::node const& at) const {
  return fmt::format("{}:{}", file_.string(), at.source().begin.line);
}

void TomlValues::fail(toml::node const& at, std::string const& what) const {
  throw TomlProblem{fmt::format("{}: {}", place(at), what)};
}

void TomlValues::only(toml::table const& t, std::vector<std::string_view> const& keys, std::string_view where) const {
  std::string problems;
  for (auto const& [key, node] : t) {
    std::string_view const name = key.str();
    if (std::find(keys.begin(), keys.end(), name) != keys.end()) {
      continue;
    }
    auto const near = nearest(name, keys);
    problems += fmt::format("{}{}: unknown key '{}' in {}{}", problems.empty() ? "" : "\n", place(node), name, where,
                            near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
  }
  if (!problems.empty()) {
    throw TomlProblem{problems};
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

std::optional<std::string> TomlValues::line(toml::table const& t, std::string_view key) const {
  auto const value = text(t, key);
  return value ? std::optional{without_controls(*value)} : std::nullopt;
}

std::optional<bool> TomlValues::flag(toml::table const& t, std::string_view key) const {
  auto const* node = find(t, key);
  if (node != nullptr && !node->is_boolean()) {
    fail(*node, fmt::format("{} must be true or false", key));
  }
  return node == nullptr ? std::nullopt : node->value<bool>();
}

TomlNumber TomlValues::number_of(toml::node const& node, std::string_view key) const {
  if (auto const* i = node.as_integer()) {
    if (i->get() < 0) {
      fail(node, fmt::format("{} must not be negative", key));
    }
    return {static_cast<u64>(i->get()),
            (i->flags() & toml::value_flags::format_as_hexadecimal) != toml::value_flags::none};
  }
  if (auto const* s = node.as_string()) {
    return address(node, s->get(), key);
  }
  fail(node, fmt::format("{} must be a number", key));
}

TomlNumber TomlValues::address(toml::node const& node, std::string const& value, std::string_view key) const {
  auto const plus = value.find('+');
  auto const head = value.substr(0, plus);
  std::pair<std::string_view, u64> const regions[] = {
      {"mmram", boot_.ram_bytes - boot_.tseg_bytes},          {"user-comm", platform::kUserCommBuffer},
      {"supervisor-comm", platform::kSupervisorCommBuffer},   {"user-status", platform::kUserCommStatus},
      {"supervisor-status", platform::kSupervisorCommStatus}, {"scratch", platform::kScratch}};
  auto const* const region = std::ranges::find(regions, head, &std::pair<std::string_view, u64>::first);
  bool const in_region = region != std::end(regions);
  auto const offset = !in_region                  ? parse_number(value)
                      : plus == std::string::npos ? TomlNumber{}
                                                  : parse_number(value.substr(plus + 1));
  if (!offset) {
    fail(node,
         fmt::format("{} = \"{}\" is not a number (0x and hexadecimal digits, or decimal without leading zeros; nor "
                     "mmram, user-comm, supervisor-comm, user-status, supervisor-status or scratch with an optional "
                     "+offset)",
                     key, value));
  }
  u64 const base = in_region ? region->second : 0;
  if (offset->value > UINT64_MAX - base) {
    fail(node, fmt::format("{} = \"{}\" is out of range: {} begins at {}, and the sum is beyond 64 bits", key, value,
                           head, hex_number(base)));
  }
  return {base + offset->value, in_region || offset->hexadecimal};
}

std::optional<u64> TomlValues::number(toml::table const& t, std::string_view key, u64 low, u64 high) const {
  auto const* node = find(t, key);
  if (node == nullptr) {
    return std::nullopt;
  }
  auto const n = number_of(*node, key);
  if (n.value < low || n.value > high) {
    fail(*node, fmt::format("{} = {} is out of range ({} to {})", key, as_written(n), as_written({low, n.hexadecimal}),
                            as_written({high, n.hexadecimal})));
  }
  return n.value;
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

std::vector<std::string> TomlValues::texts(toml::table const& t, std::string_view key) const {
  std::vector<std::string> out;
  for (auto const& node : array(t, key)) {
    out.push_back(string(node, key));
    if (out.back().empty()) {
      fail(node, fmt::format("{}: an empty text is part of everything", key));
    }
  }
  return out;
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

std::vector<QemuException> qemu_exceptions(TomlValues const& values, toml::table const& root) {
  constexpr u64 kLargest = 1000;
  std::vector<QemuException> out;
  for (auto const& node : values.array(root, "qemu_except")) {
    auto const& t = values.as_table(node, "qemu_except");
    values.only(t, {"from", "below", "because"}, "qemu_except");
    auto const from = values.number(t, "from", 1, kLargest);
    auto const below = values.number(t, "below", 1, kLargest).value_or(kLargest);
    auto const because = values.line(t, "because").value_or("");
    if (!from || *from >= below || because.empty()) {
      values.fail(t, "qemu_except: each has `from` and `because`, and `below` that is larger: versions of QEMU");
    }
    out.push_back({static_cast<u32>(*from), static_cast<u32>(below), because});
  }
  return out;
}

}  // namespace mm::lab
