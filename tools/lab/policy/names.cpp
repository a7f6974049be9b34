// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "tools/lab/policy/model.hpp"

namespace mm::policy_tools {
namespace {

constexpr std::pair<u32, std::string_view> kWords[] = {
    {policy::kRead, "Read"},       {policy::kCondRead, "LimitedRead"},
    {policy::kWrite, "Write"},     {policy::kCondWrite, "LimitedWrite"},
    {policy::kExecute, "Execute"}, {policy::kStrictWidth, "StrictWidth"}};

}  // namespace

std::string located(std::string const& file, Remark const& remark) {
  if (remark.place.line) {
    return fmt::format("{}:{}: {}", file, *remark.place.line, remark.text);
  }
  if (remark.place.offset) {
    return fmt::format("{}: at byte {}: {}", file, hex(*remark.place.offset), remark.text);
  }
  return file + ": " + remark.text;
}

Root const* find_root(Policy const& policy, policy::Type type) noexcept {
  auto const at = std::ranges::find(policy.roots, type, &Root::type);
  return at == policy.roots.end() ? nullptr : &*at;
}

std::string_view category_name(policy::Type type) noexcept {
  auto const at = std::ranges::find(kCategories, type, &std::pair<std::string_view, policy::Type>::second);
  return at == kCategories.end() ? "?" : at->first;
}

std::string attribute_words(u32 attributes) {
  std::string out;
  for (auto const& [bit, word] : kWords) {
    if ((attributes & bit) != 0) {
      out += (out.empty() ? "" : " | ") + std::string{word};
    }
  }
  return out;
}

u32 attribute_bits(std::string_view words) noexcept {
  auto const has = [&](std::string_view word) { return words.find(word) != std::string_view::npos; };
  u32 bits = 0;
  bits |= has("LimitedRead") ? policy::kCondRead : has("Read") ? policy::kRead : u16{0};
  bits |= has("LimitedWrite") ? policy::kCondWrite : has("Write") ? policy::kWrite : u16{0};
  bits |= has("Execute") ? policy::kExecute : u16{0};
  bits |= has("StrictWidth") ? policy::kStrictWidth : u16{0};
  return bits;
}

u32 expressible_attributes(policy::Type type) noexcept {
  constexpr u32 kReadWrite = policy::kRead | policy::kWrite | policy::kCondRead | policy::kCondWrite;
  switch (type) {
    case policy::Type::Io:
      return kReadWrite | policy::kExecute | policy::kStrictWidth;
    case policy::Type::SaveState:
      return kReadWrite;
    case policy::Type::Mem:
    case policy::Type::Msr:
    case policy::Type::Instruction:
      break;
  }
  return kReadWrite | policy::kExecute;
}

std::string access_words(u32 attributes) {
  constexpr std::pair<u32, std::string_view> kAccess[] = {
      {policy::kRead, "read"}, {policy::kWrite, "write"}, {policy::kExecute, "execute"}};
  std::string out;
  for (auto const& [bit, word] : kAccess) {
    if ((attributes & bit) != 0) {
      out += (out.empty() ? "" : " and ") + std::string{word};
    }
  }
  return out.empty() ? "nothing" : out;
}

std::optional<u64> parse_number(std::string_view text) {
  int const base = text.starts_with("0x") ? 16 : 10;
  text.remove_prefix(base == 16 ? 2 : 0);
  u64 value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error != std::errc{} || end != text.data() + text.size() ? std::nullopt : std::optional{value};
}

std::string hex(u64 value) { return fmt::format("0x{:X}", value); }

std::string lower(std::string_view text) {
  std::string out{text};
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

}  // namespace mm::policy_tools
