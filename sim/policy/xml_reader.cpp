// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <pugixml.hpp>
#include <span>
#include <utility>

#include "sim/policy/blob.hpp"
#include "sim/policy/names.hpp"
#include "sim/policy/xml.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;
using Done = std::expected<void, Remark>;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\f\v";
  auto const first = text.find_first_not_of(kBlanks);
  return first == std::string_view::npos ? std::string_view{}
                                         : text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

unsigned digit_value(char c) {
  return c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
         : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a' + 10)
         : c >= 'A' && c <= 'F' ? static_cast<unsigned>(c - 'A' + 10)
                                : 99;
}

/// The digits of a Python integer literal: single underscores between digits, none at the end.
std::optional<u64> digits(std::string_view text, unsigned base, bool underscore_first) {
  u64 value = 0;
  bool after_digit = underscore_first;
  for (char const c : text) {
    if (c == '_' && after_digit) {
      after_digit = false;
      continue;
    }
    unsigned const d = digit_value(c);
    if (d >= base || value > (std::numeric_limits<u64>::max() - d) / base) {
      return std::nullopt;
    }
    value = value * base + d;
    after_digit = true;
  }
  return text.empty() || !after_digit ? std::nullopt : std::optional{value};
}

/// int(text, base=0) of Python, for what is not negative and has 64 bits.
std::optional<u64> python_integer(std::string_view raw) {
  std::string_view text = trimmed(raw);
  text.remove_prefix(text.starts_with('+') ? 1 : 0);
  if (text.size() > 1 && text[0] == '0') {
    constexpr std::pair<char, unsigned> kBases[] = {{'x', 16}, {'o', 8}, {'b', 2}};
    for (auto const& [letter, base] : kBases) {
      if (text[1] == letter || text[1] == letter - 32) {
        return digits(text.substr(2), base, true);
      }
    }
    auto const value = digits(text, 10, false);
    return value == u64{0} ? value : std::nullopt;  // no leading zeros
  }
  return digits(text, 10, false);
}

bool equals_ignoring_case(std::string_view a, std::string_view b) { return lower(a) == lower(b); }

/// Index of `name` in `names`, whatever its case.
std::optional<u64> index_in(std::span<std::string_view const> names, std::string_view name) {
  auto const at = std::ranges::find_if(names, [&](std::string_view n) { return equals_ignoring_case(n, name); });
  return at == names.end() ? std::nullopt : std::optional{static_cast<u64>(at - names.begin())};
}

class Reader {
 public:
  explicit Reader(std::string_view xml) : xml_(xml) {
    for (std::size_t i = 0; i < xml.size(); ++i) {
      if (xml[i] == '\n') {
        newlines_.push_back(i);
      }
    }
  }

  std::expected<XmlPolicy, Remark> read() {
    if (xml_.starts_with("\xFF\xFE") || xml_.starts_with("\xFE\xFF")) {
      return std::unexpected(Remark{{}, "the source is UTF-16: save it as UTF-8"});
    }
    pugi::xml_document document;
    auto const parsed =
        document.load_buffer(xml_.data(), xml_.size(), pugi::parse_default | pugi::parse_comments, pugi::encoding_utf8);
    if (!parsed) {
      return std::unexpected(Remark{at(parsed.offset), fmt::format("not well-formed XML: {}", parsed.description())});
    }
    auto const top = document.document_element();
    for (auto node = top.next_sibling(); node; node = node.next_sibling()) {
      if (node.type() == pugi::node_element) {
        return std::unexpected(error(node, fmt::format("a second root element <{}>", node.name())));
      }
    }
    if (auto done = read_categories(top); !done) {
      return std::unexpected(done.error());
    }
    return std::move(out_);
  }

 private:
  Place at(std::ptrdiff_t offset) const {
    if (offset < 0) {
      return {};
    }
    auto const before = std::ranges::lower_bound(newlines_, static_cast<std::size_t>(offset)) - newlines_.begin();
    return {.line = static_cast<u32>(before + 1), .offset = {}};
  }
  Place at(pugi::xml_node node) const { return at(node.offset_debug()); }
  Remark error(pugi::xml_node node, std::string text) const { return {at(node), std::move(text)}; }
  void warn(pugi::xml_node node, std::string text) { out_.warnings.push_back(error(node, std::move(text))); }

  Done read_categories(pugi::xml_node top) {
    for (auto const& found : top.select_nodes(".//SmmCategory")) {
      auto const category = found.node();
      if (category == top) {
        continue;
      }
      if (auto done = read_category(category); !done) {
        return done;
      }
    }
    if (out_.policy.roots.empty()) {
      return std::unexpected(error(top, fmt::format("no SmmCategory below <{}>", top.name())));
    }
    if (find_root(out_.policy, Type::Mem) == nullptr) {
      out_.policy.roots.push_back({.type = Type::Mem, .deny = true, .entries = {}, .place = {}, .comments = {}});
    }
    return {};
  }

  Done read_category(pugi::xml_node category) {
    std::string_view const name = category.attribute("name").value();
    auto const type = std::ranges::find(kCategories, name, &std::pair<std::string_view, Type>::first);
    if (type == kCategories.end()) {
      return std::unexpected(
          error(category, fmt::format("SmmCategory '{}': the name is none of IO, MSR, INSTRUCTION, SAVESTATE", name)));
    }
    if (auto const* const other = find_root(out_.policy, type->second)) {
      return std::unexpected(error(
          category, fmt::format("SmmCategory '{}' is there already, in line {}", name, other->place.line.value_or(0))));
    }
    Root root{.type = type->second, .deny = true, .entries = {}, .place = at(category), .comments = {}};
    if (auto done = read_list(category, root); !done) {
      return done;
    }
    for (auto const child : category.children()) {
      if (child.type() == pugi::node_comment) {
        root.comments.emplace_back(trimmed(child.value()));
      } else if (std::string_view{child.name()} == "PolicyEntry") {
        auto entry = read_entry(child, root.type);
        if (!entry) {
          auto wrong = entry.error();
          wrong.text = fmt::format("SmmCategory '{}', entry {}: {}", name, root.entries.size() + 1, wrong.text);
          return std::unexpected(std::move(wrong));
        }
        root.entries.push_back(std::move(*entry));
      }
    }
    warn_about_children(category, std::array<std::string_view, 2>{"PolicyAccessAttribute", "PolicyEntry"});
    out_.policy.roots.push_back(std::move(root));
    return {};
  }

  Done read_list(pugi::xml_node category, Root& root) {
    auto const node = category.child("PolicyAccessAttribute");
    if (!node) {
      warn(category, fmt::format("SmmCategory '{}' has no PolicyAccessAttribute, so it is a deny list",
                                 category_name(root.type)));
      return {};
    }
    if (!node.attribute("Value")) {
      return std::unexpected(error(node, "PolicyAccessAttribute has no Value"));
    }
    std::string_view const value = node.attribute("Value").value();
    root.deny = value.find("Allow") == std::string_view::npos;
    if (value != "Allow" && value != "Deny") {
      warn(node, fmt::format("PolicyAccessAttribute '{}' is read as {}: write Allow or Deny", value,
                             root.deny ? "Deny" : "Allow"));
    }
    return {};
  }

  /// The Value of the first child of this name.
  std::expected<std::string_view, Remark> value_of(pugi::xml_node entry, char const* name) const {
    auto const child = entry.child(name);
    if (!child) {
      return std::unexpected(error(entry, fmt::format("{} is missing", name)));
    }
    if (!child.attribute("Value")) {
      return std::unexpected(error(child, fmt::format("{} has no Value", name)));
    }
    return child.attribute("Value").value();
  }

  std::expected<u64, Remark> number(pugi::xml_node entry, char const* name, u64 limit) const {
    auto const text = value_of(entry, name);
    if (!text) {
      return std::unexpected(text.error());
    }
    auto const value = python_integer(*text);
    if (!value) {
      return std::unexpected(error(entry.child(name), fmt::format("{}: '{}' is not a number", name, *text)));
    }
    if (*value > limit) {
      return std::unexpected(
          error(entry.child(name), fmt::format("{}: {} is larger than {}", name, *text, hex(limit))));
    }
    return *value;
  }

  std::expected<u32, Remark> security_attributes(pugi::xml_node entry, Type type) {
    auto const text = value_of(entry, "SecurityAttributes");
    if (!text) {
      return std::unexpected(text.error());
    }
    auto const child = entry.child("SecurityAttributes");
    u32 const said = attribute_bits(*text);
    u32 const used = said & expressible_attributes(type);
    if (said != used) {
      warn(child,
           fmt::format("{} has no meaning for {} and is ignored", attribute_words(said & ~used), category_name(type)));
    }
    for (auto const& word : words_of(*text)) {
      if (!word.empty() && std::ranges::find(kAttributeWords, word) == kAttributeWords.end()) {
        warn(child, fmt::format("SecurityAttributes '{}' is none of {}; what is read is '{}'", word,
                                fmt::join(kAttributeWords, ", "), attribute_words(used)));
      }
    }
    return used;
  }
  static std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> out;
    for (std::size_t at = 0; at <= text.size();) {
      auto const end = std::min(text.find('|', at), text.size());
      out.push_back(trimmed(text.substr(at, end - at)));
      at = end + 1;
    }
    return out;
  }

  std::expected<Entry, Remark> read_entry(pugi::xml_node node, Type type) {
    auto entry = type == Type::Instruction ? instruction_entry(node)
                 : type == Type::SaveState ? save_state_entry(node)
                                           : span_entry(node, type);
    if (!entry) {
      return entry;
    }
    entry->place = at(node);
    for (auto const child : node.children()) {
      if (child.type() == pugi::node_comment) {
        entry->comments.emplace_back(trimmed(child.value()));
      }
    }
    return entry;
  }

  std::expected<Entry, Remark> span_entry(pugi::xml_node node, Type type) {
    bool const mem = type == Type::Mem;
    u64 const last = mem ? UINT64_MAX : type == Type::Io ? 0xFFFF : 0xFFFF'FFFF;
    char const* const start_name = mem ? "BaseAddress" : "StartAddress";
    auto const start = number(node, start_name, last);
    auto const size = number(node, "Size", mem ? UINT64_MAX : 0xFFFF);
    if (!start || !size) {
      return std::unexpected(!start ? start.error() : size.error());
    }
    if (*size == 0) {
      return std::unexpected(error(node.child("Size"), "Size is 0"));
    }
    auto const attributes = security_attributes(node, type);
    if (!attributes) {
      return std::unexpected(attributes.error());
    }
    warn_about_children(node, std::array<std::string_view, 3>{start_name, "Size", "SecurityAttributes"});
    return Entry{.base = *start, .size = *size, .attributes = *attributes, .condition = 0, .place = {}, .comments = {}};
  }

  std::expected<Entry, Remark> named_entry(pugi::xml_node node, Type type, char const* element,
                                           std::span<std::string_view const> names, std::string_view what) {
    auto const name = value_of(node, element);
    if (!name) {
      return std::unexpected(name.error());
    }
    auto const index = index_in(names, *name);
    if (!index) {
      return std::unexpected(error(node.child(element),
                                   fmt::format("unknown {} '{}'; there are {}", what, *name, fmt::join(names, ", "))));
    }
    auto const attributes = security_attributes(node, type);
    if (!attributes) {
      return std::unexpected(attributes.error());
    }
    return Entry{.base = *index, .size = 1, .attributes = *attributes, .condition = 0, .place = {}, .comments = {}};
  }

  std::expected<Entry, Remark> instruction_entry(pugi::xml_node node) {
    warn_about_children(node, std::array<std::string_view, 2>{"Instruction", "SecurityAttributes"});
    return named_entry(node, Type::Instruction, "Instruction", kInstructions, "instruction");
  }

  std::expected<Entry, Remark> save_state_entry(pugi::xml_node node) {
    warn_about_children(node,
                        std::array<std::string_view, 3>{"SaveStateField", "SecurityAttributes", "AccessCondition"});
    auto entry = named_entry(node, Type::SaveState, "SaveStateField", kFields, "save-state field");
    if (auto const child = node.child("AccessCondition"); entry && child) {
      std::string_view const name = child.attribute("Value").value();
      auto const condition = index_in(kConditions, name);
      entry->condition = static_cast<u32>(condition.value_or(0));
      if (!condition) {
        warn(child, fmt::format("AccessCondition '{}' is none of {} and is read as UNCONDITIONAL", name,
                                fmt::join(kConditions, ", ")));
      }
    }
    return entry;
  }

  /// Elements that nobody reads: another name, or the second of its name.
  void warn_about_children(pugi::xml_node parent, std::span<std::string_view const> known) {
    for (auto const child : parent.children()) {
      std::string_view const name = child.name();
      if (child.type() != pugi::node_element || name == "SmmCategory") {
        continue;
      }
      if (std::ranges::find(known, name) == known.end()) {
        warn(child, fmt::format("<{}> is not read; <{}> has {}", name, parent.name(), fmt::join(known, ", ")));
      } else if (name != "PolicyEntry" && parent.child(child.name()) != child) {
        warn(child, fmt::format("a second <{}> is not read", name));
      }
    }
  }

  static constexpr std::array<std::string_view, 6> kAttributeWords{"Read",         "LimitedRead", "Write",
                                                                   "LimitedWrite", "Execute",     "StrictWidth"};
  std::string_view xml_;
  std::vector<std::size_t> newlines_;
  XmlPolicy out_;
};

}  // namespace

std::expected<XmlPolicy, Remark> read_xml(std::string_view xml) { return Reader{xml}.read(); }

std::expected<Bytes, std::string> compile_policy(std::string_view xml) {
  auto const read = read_xml(xml);
  if (!read) {
    auto const& wrong = read.error();
    return std::unexpected(wrong.place.line ? fmt::format("line {}: {}", *wrong.place.line, wrong.text) : wrong.text);
  }
  return encode(read->policy);
}

}  // namespace mm::policy_tools
