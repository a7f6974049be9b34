// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/lab/policy/model.hpp"

/// An XML document as the field's tool sees it: read by the same library (Expat), so that it takes what that takes and
/// refuses what that refuses. Encodings UTF-8, UTF-16, ISO-8859-1 and US-ASCII; internal entities; names in a namespace
/// are "{uri}name".
namespace mm::policy_tools {

using XmlIndex = std::uint32_t;

struct XmlNode {
  std::string name;  ///< of an element; empty for a comment
  std::string text;  ///< of a comment
  std::vector<std::pair<std::string, std::string>> attributes;
  std::vector<XmlIndex> children;  ///< elements and comments
  u32 line = 0;

  bool is_element() const { return !name.empty(); }
  /// The value of an attribute, nothing without it.
  std::optional<std::string_view> attribute(std::string_view key) const;
};

/// Nodes in the order in which they begin; the root element is number `root`.
struct XmlDocument {
  std::vector<XmlNode> nodes;
  XmlIndex root = 0;

  XmlNode const& operator[](XmlIndex i) const { return nodes[i]; }
  /// The first child element of this name, or null.
  XmlNode const* child(XmlNode const& parent, std::string_view name) const;
};

/// Error: line and what is not well-formed, or a document that is refused for what it would cost.
std::expected<XmlDocument, Remark> parse_xml(std::string_view text);

}  // namespace mm::policy_tools
