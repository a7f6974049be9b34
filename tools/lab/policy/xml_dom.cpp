// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy/xml_dom.hpp"

#include <expat.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace mm::policy_tools {
namespace {

/// Newer versions of expat have a second function with a wider result, and call this one deprecated.
u32 line_of(XML_Parser parser) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  return static_cast<u32>(XML_GetCurrentLineNumber(parser));
#pragma GCC diagnostic pop
}

using Parser = std::unique_ptr<std::remove_pointer_t<XML_Parser>, decltype(&XML_ParserFree)>;

/// A namespace and a name come as "uri}name".
constexpr char kSeparator = '}';
/// Bytes for which one call of the parser is made.
constexpr std::size_t kPiece = std::size_t{1} << 20;

/// What the callbacks of the parser fill.
class Builder {
 public:
  explicit Builder(XML_Parser parser) : parser_(parser) {
    XML_SetUserData(parser, this);
    XML_SetElementHandler(parser, &Builder::start, &Builder::end);
    XML_SetCommentHandler(parser, &Builder::comment);
    XML_SetSkippedEntityHandler(parser, &Builder::skipped);
  }

  XmlDocument take() { return std::move(document_); }
  std::optional<Remark> const& problem() const { return problem_; }

 private:
  static Builder& of(void* user) { return *static_cast<Builder*>(user); }

  static std::string plain_name(char const* name) {
    std::string out{name};
    return out.find(kSeparator) == std::string::npos ? out : "{" + out;
  }

  XmlNode& add(std::string name) {
    auto& nodes = document_.nodes;
    auto const index = static_cast<XmlIndex>(nodes.size());
    if (!open_.empty()) {
      nodes[open_.back()].children.push_back(index);
    }
    auto& node = nodes.emplace_back();
    node.name = std::move(name);
    node.line = line_of(parser_);
    return node;
  }

  static void start(void* user, char const* name, char const** attributes) {
    Builder& self = of(user);
    auto& node = self.add(plain_name(name));
    for (; *attributes != nullptr; attributes += 2) {
      node.attributes.emplace_back(plain_name(attributes[0]), attributes[1]);
    }
    auto const index = static_cast<XmlIndex>(self.document_.nodes.size() - 1);
    if (self.open_.empty()) {
      self.document_.root = index;
    }
    self.open_.push_back(index);
  }
  static void end(void* user, char const*) { of(user).open_.pop_back(); }
  static void comment(void* user, char const* text) {
    if (Builder& self = of(user); !self.open_.empty()) {
      self.add({}).text = text;
    }
  }
  static void skipped(void* user, char const* name, int) {
    Builder& self = of(user);
    self.problem_ = Remark{{.line = line_of(self.parser_), .offset = {}},
                           fmt::format("the entity '{}' is not declared in the document", name)};
    XML_StopParser(self.parser_, XML_FALSE);
  }

  XML_Parser parser_;
  XmlDocument document_;
  std::vector<XmlIndex> open_;
  std::optional<Remark> problem_;
};

Remark error_of(XML_Parser parser) {
  auto const code = XML_GetErrorCode(parser);
  Place const place{.line = line_of(parser), .offset = {}};
  if (code == XML_ERROR_JUNK_AFTER_DOC_ELEMENT) {
    return {place, "not well-formed XML: something behind the root element, or a second root element"};
  }
  if (code == XML_ERROR_UNKNOWN_ENCODING) {
    return {place, "the encoding of the source is not read: save it as UTF-8"};
  }
  return {place, fmt::format("not well-formed XML: {}", XML_ErrorString(code))};
}

}  // namespace

std::optional<std::string_view> XmlNode::attribute(std::string_view key) const {
  auto const at = std::ranges::find(attributes, key, &std::pair<std::string, std::string>::first);
  return at == attributes.end() ? std::nullopt : std::optional<std::string_view>{at->second};
}

XmlNode const* XmlDocument::child(XmlNode const& parent, std::string_view name) const {
  auto const at = std::ranges::find_if(parent.children, [&](XmlIndex i) { return nodes[i].name == name; });
  return at == parent.children.end() ? nullptr : &nodes[*at];
}

std::expected<XmlDocument, Remark> parse_xml(std::string_view text) {
  Parser const parser{XML_ParserCreateNS(nullptr, kSeparator), &XML_ParserFree};
  if (!parser) {
    return std::unexpected(Remark{{}, "no memory for the XML parser"});
  }
  Builder builder{parser.get()};
  for (bool last = false; !last;) {
    auto const piece = text.substr(0, kPiece);
    text.remove_prefix(piece.size());
    last = text.empty();
    if (XML_Parse(parser.get(), piece.data(), static_cast<int>(piece.size()), last ? 1 : 0) != XML_STATUS_OK) {
      return std::unexpected(builder.problem() ? *builder.problem() : error_of(parser.get()));
    }
  }
  return builder.take();
}

}  // namespace mm::policy_tools
