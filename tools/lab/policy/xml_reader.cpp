// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/names.hpp"
#include "tools/lab/policy/xml.hpp"
#include "tools/lab/policy/xml_dom.hpp"

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
  explicit Reader(std::string_view xml) : xml_(xml) {}

  std::expected<XmlPolicy, Remark> read() {
    auto parsed = parse_xml(xml_);
    if (!parsed) {
      return std::unexpected(parsed.error());
    }
    document_ = std::move(*parsed);
    if (auto done = read_categories(); !done) {
      return std::unexpected(done.error());
    }
    return std::move(out_);
  }

 private:
  static Place at(XmlNode const& node) { return {.line = node.line, .offset = {}}; }
  static Remark error(XmlNode const& node, std::string text) { return {at(node), std::move(text)}; }
  void warn(XmlNode const& node, std::string text) { out_.warnings.push_back(error(node, std::move(text))); }

  /// Every SmmCategory below the root, in the order of the document. One that is in a namespace is another element.
  Done read_categories() {
    auto const& top = document_[document_.root];
    for (XmlIndex i = document_.root + 1; i < document_.nodes.size(); ++i) {
      auto const& node = document_[i];
      if (node.name == kCategory) {
        if (auto done = read_category(node); !done) {
          return done;
        }
      } else if (node.name.ends_with(std::string{"}"} + kCategory)) {
        return std::unexpected(
            error(node, fmt::format("SmmCategory is in the namespace '{}': the field's tool does not "
                                    "read it there; take the xmlns away",
                                    node.name.substr(1, node.name.find('}') - 1))));
      }
    }
    if (out_.policy.roots.empty()) {
      return std::unexpected(error(top, fmt::format("no SmmCategory below <{}>", top.name)));
    }
    if (find_root(out_.policy, Type::Mem) == nullptr) {
      out_.policy.roots.push_back({.type = Type::Mem, .deny = true, .entries = {}, .place = {}, .comments = {}});
    }
    return {};
  }

  Done read_category(XmlNode const& category) {
    std::string_view const name = category.attribute("name").value_or("");
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
    for (XmlIndex const i : category.children) {
      auto const& child = document_[i];
      if (!child.is_element()) {
        root.comments.emplace_back(trimmed(child.text));
      } else if (child.name == "PolicyEntry") {
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

  Done read_list(XmlNode const& category, Root& root) {
    auto const* const node = document_.child(category, "PolicyAccessAttribute");
    if (node == nullptr) {
      warn(category, fmt::format("SmmCategory '{}' has no PolicyAccessAttribute, so it is a deny list",
                                 category_name(root.type)));
      return {};
    }
    if (!node->attribute("Value")) {
      return std::unexpected(error(*node, "PolicyAccessAttribute has no Value"));
    }
    std::string_view const value = *node->attribute("Value");
    root.deny = value.find("Allow") == std::string_view::npos;
    if (value != "Allow" && value != "Deny") {
      warn(*node, fmt::format("PolicyAccessAttribute '{}' is read as {}: write Allow or Deny", value,
                              root.deny ? "Deny" : "Allow"));
    }
    return {};
  }

  /// The Value of the first child of this name.
  std::expected<std::string_view, Remark> value_of(XmlNode const& entry, char const* name) const {
    auto const* const child = document_.child(entry, name);
    if (child == nullptr) {
      return std::unexpected(error(entry, fmt::format("{} is missing", name)));
    }
    auto const value = child->attribute("Value");
    if (!value) {
      return std::unexpected(error(*child, fmt::format("{} has no Value", name)));
    }
    return *value;
  }

  std::expected<u64, Remark> number(XmlNode const& entry, char const* name, u64 limit) const {
    auto const text = value_of(entry, name);
    if (!text) {
      return std::unexpected(text.error());
    }
    auto const value = python_integer(*text);
    if (!value) {
      return std::unexpected(
          error(*document_.child(entry, name), fmt::format("{}: '{}' is not a number", name, *text)));
    }
    if (*value > limit) {
      return std::unexpected(
          error(*document_.child(entry, name), fmt::format("{}: {} is larger than {}", name, *text, hex(limit))));
    }
    return *value;
  }

  std::expected<u32, Remark> security_attributes(XmlNode const& entry, Type type) {
    auto const text = value_of(entry, "SecurityAttributes");
    if (!text) {
      return std::unexpected(text.error());
    }
    auto const& child = *document_.child(entry, "SecurityAttributes");
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

  std::expected<Entry, Remark> read_entry(XmlNode const& node, Type type) {
    auto entry = type == Type::Instruction ? instruction_entry(node)
                 : type == Type::SaveState ? save_state_entry(node)
                                           : span_entry(node, type);
    if (!entry) {
      return entry;
    }
    entry->place = at(node);
    for (XmlIndex const i : node.children) {
      if (!document_[i].is_element()) {
        entry->comments.emplace_back(trimmed(document_[i].text));
      }
    }
    return entry;
  }

  std::expected<Entry, Remark> span_entry(XmlNode const& node, Type type) {
    bool const mem = type == Type::Mem;
    u64 const last = mem ? UINT64_MAX : type == Type::Io ? 0xFFFF : 0xFFFF'FFFF;
    char const* const start_name = mem ? "BaseAddress" : "StartAddress";
    auto const start = number(node, start_name, last);
    auto const size = number(node, "Size", mem ? UINT64_MAX : 0xFFFF);
    if (!start || !size) {
      return std::unexpected(!start ? start.error() : size.error());
    }
    if (*size == 0) {
      return std::unexpected(error(*document_.child(node, "Size"), "Size is 0"));
    }
    auto const attributes = security_attributes(node, type);
    if (!attributes) {
      return std::unexpected(attributes.error());
    }
    warn_about_children(node, std::array<std::string_view, 3>{start_name, "Size", "SecurityAttributes"});
    return Entry{.base = *start, .size = *size, .attributes = *attributes, .condition = 0, .place = {}, .comments = {}};
  }

  std::expected<Entry, Remark> named_entry(XmlNode const& node, Type type, char const* element,
                                           std::span<std::string_view const> names, std::string_view what) {
    auto const name = value_of(node, element);
    if (!name) {
      return std::unexpected(name.error());
    }
    auto const index = index_in(names, *name);
    if (!index) {
      return std::unexpected(error(*document_.child(node, element),
                                   fmt::format("unknown {} '{}'; there are {}", what, *name, fmt::join(names, ", "))));
    }
    auto const attributes = security_attributes(node, type);
    if (!attributes) {
      return std::unexpected(attributes.error());
    }
    return Entry{.base = *index, .size = 1, .attributes = *attributes, .condition = 0, .place = {}, .comments = {}};
  }

  std::expected<Entry, Remark> instruction_entry(XmlNode const& node) {
    warn_about_children(node, std::array<std::string_view, 2>{"Instruction", "SecurityAttributes"});
    return named_entry(node, Type::Instruction, "Instruction", kInstructions, "instruction");
  }

  std::expected<Entry, Remark> save_state_entry(XmlNode const& node) {
    warn_about_children(node,
                        std::array<std::string_view, 3>{"SaveStateField", "SecurityAttributes", "AccessCondition"});
    auto entry = named_entry(node, Type::SaveState, "SaveStateField", kFields, "save-state field");
    if (auto const* const child = document_.child(node, "AccessCondition"); entry && child != nullptr) {
      std::string_view const name = child->attribute("Value").value_or("");
      auto const condition = index_in(kConditions, name);
      entry->condition = static_cast<u32>(condition.value_or(0));
      if (!condition) {
        warn(*child, fmt::format("AccessCondition '{}' is none of {} and is read as UNCONDITIONAL", name,
                                 fmt::join(kConditions, ", ")));
      }
    }
    return entry;
  }

  /// Elements that nobody reads: another name, or the second of its name.
  void warn_about_children(XmlNode const& parent, std::span<std::string_view const> known) {
    for (XmlIndex const i : parent.children) {
      auto const& child = document_[i];
      std::string_view const name = child.name;
      if (!child.is_element() || name == kCategory) {
        continue;
      }
      if (std::ranges::find(known, name) == known.end()) {
        warn(child, fmt::format("<{}> is not read; <{}> has {}", name, parent.name, fmt::join(known, ", ")));
      } else if (name != "PolicyEntry" && document_.child(parent, name) != &child) {
        warn(child, fmt::format("a second <{}> is not read", name));
      }
    }
  }

  static constexpr std::array<std::string_view, 6> kAttributeWords{"Read",         "LimitedRead", "Write",
                                                                   "LimitedWrite", "Execute",     "StrictWidth"};
  static constexpr char const* kCategory = "SmmCategory";
  std::string_view xml_;
  XmlDocument document_;
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
