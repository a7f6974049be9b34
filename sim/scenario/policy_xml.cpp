// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/scenario/policy_xml.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <pugixml.hpp>
#include <utility>
#include <vector>

namespace mm::scenario {
namespace {

using Result = std::expected<Bytes, std::string>;

struct Root {
  u32 type = 0;
  u8 deny = 1;
  u32 count = 0;
  Bytes body;
};

std::string lower(std::string_view text) {
  std::string out{text};
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}
std::string_view value_of(pugi::xml_node entry, char const* child) {
  return entry.child(child).attribute("Value").value();
}

/// Decimal, or hexadecimal with 0x; underscores between digits as in the source's number literals.
std::expected<u64, std::string> number(std::string_view text, u64 limit) {
  std::string digits;
  for (char const c : text) {
    if (c != ' ' && c != '_') {
      digits.push_back(c);
    }
  }
  int base = 10;
  std::string_view rest{digits};
  if (rest.starts_with("0x") || rest.starts_with("0X")) {
    base = 16;
    rest.remove_prefix(2);
  }
  u64 v = 0;
  auto const [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), v, base);
  if (rest.empty() || error != std::errc{} || end != rest.data() + rest.size()) {
    return std::unexpected(fmt::format("'{}' is not a number", text));
  }
  if (v > limit) {
    return std::unexpected(fmt::format("{} is larger than {}", text, hex_number(limit)));
  }
  return v;
}

u16 attributes(std::string_view text) {
  auto const has = [&](std::string_view word) { return text.find(word) != std::string_view::npos; };
  unsigned bits = 0;
  bits |= has("LimitedRead") ? 0x10u : has("Read") ? 1u : 0u;
  bits |= has("LimitedWrite") ? 0x20u : has("Write") ? 2u : 0u;
  bits |= has("Execute") ? 4u : 0u;
  bits |= has("StrictWidth") ? 8u : 0u;
  return static_cast<u16>(bits);
}

std::expected<void, std::string> span_entry(pugi::xml_node entry, Root& root) {
  bool const io = root.type == 2;
  auto const start = number(value_of(entry, "StartAddress"), io ? 0xFFFF : 0xFFFF'FFFF);
  auto const size = number(value_of(entry, "Size"), 0xFFFF);
  if (!start || !size) {
    return std::unexpected(!start ? "StartAddress: " + start.error() : "Size: " + size.error());
  }
  if (*size == 0) {
    return std::unexpected(std::string{"Size is 0"});
  }
  u16 const bits = attributes(value_of(entry, "SecurityAttributes"));
  append_int(root.body, *start, io ? 2 : 4);
  append_int(root.body, *size, 2);
  append_int(root.body, io ? bits : bits & ~8u, 2);
  append_int(root.body, 0, io ? 2 : 0);
  return {};
}
std::expected<void, std::string> instruction_entry(pugi::xml_node entry, Root& root) {
  auto const name = lower(value_of(entry, "Instruction"));
  constexpr std::string_view kNames[] = {"cli", "wbinvd", "hlt"};
  auto const at = std::ranges::find(kNames, name);
  if (at == std::end(kNames)) {
    return std::unexpected(fmt::format("unknown instruction '{}'", name));
  }
  append_int(root.body, static_cast<u64>(at - std::begin(kNames)), 2);
  append_int(root.body, attributes(value_of(entry, "SecurityAttributes")) & ~8u, 2);
  append_int(root.body, 0, 4);
  return {};
}
std::expected<void, std::string> save_state_entry(pugi::xml_node entry, Root& root) {
  auto const field = lower(value_of(entry, "SaveStateField"));
  if (field != "rax" && field != "io_trap") {
    return std::unexpected(fmt::format("unknown save-state field '{}'", field));
  }
  auto const condition = lower(value_of(entry, "AccessCondition"));
  append_int(root.body, field == "rax" ? 0 : 1, 4);
  append_int(root.body, attributes(value_of(entry, "SecurityAttributes")) & 0x33u, 4);
  append_int(root.body, condition == "ioread" ? 1 : condition == "iowrite" ? 2 : 0, 4);
  append_int(root.body, 0, 4);
  return {};
}

std::expected<Root, std::string> read_category(pugi::xml_node category) {
  constexpr std::pair<std::string_view, u32> kTypes[] = {{"IO", 2}, {"MSR", 3}, {"INSTRUCTION", 4}, {"SAVESTATE", 5}};
  std::string_view const name = category.attribute("name").value();
  auto const type = std::ranges::find(kTypes, name, &std::pair<std::string_view, u32>::first);
  if (type == std::end(kTypes)) {
    return std::unexpected(fmt::format("SmmCategory '{}': the name is none of IO, MSR, INSTRUCTION, SAVESTATE", name));
  }
  Root root;
  root.type = type->second;
  root.deny = value_of(category, "PolicyAccessAttribute").find("Allow") == std::string_view::npos ? 1 : 0;
  for (auto const entry : category.children("PolicyEntry")) {
    auto const done = root.type <= 3   ? span_entry(entry, root)
                      : root.type == 4 ? instruction_entry(entry, root)
                                       : save_state_entry(entry, root);
    if (!done) {
      return std::unexpected(fmt::format("SmmCategory '{}', entry {}: {}", name, root.count + 1, done.error()));
    }
    ++root.count;
  }
  return root;
}

Bytes encode(std::vector<Root> const& roots) {
  Bytes out;
  u64 size = 40 + 24 * roots.size();
  std::vector<u64> offsets;
  for (auto const& root : roots) {
    offsets.push_back(size);
    size += root.body.size();
  }
  append_int(out, 0x0001'0000, 4);
  append_int(out, size, 4);
  append_int(out, 0, 8);  // memory policy, legacy
  append_int(out, 0, 8);  // flags, capabilities
  append_int(out, 0, 8);  // reserved
  append_int(out, 40, 4);
  append_int(out, roots.size(), 4);
  for (std::size_t i = 0; i < roots.size(); ++i) {
    append_int(out, 1, 4);
    append_int(out, 24, 4);
    append_int(out, roots[i].type, 4);
    append_int(out, offsets[i], 4);
    append_int(out, roots[i].count, 4);
    append_int(out, roots[i].deny, 4);
  }
  for (auto const& root : roots) {
    append_bytes(out, root.body);
  }
  return out;
}

}  // namespace

std::expected<Bytes, std::string> compile_policy(std::string_view xml) {
  pugi::xml_document document;
  auto const parsed = document.load_buffer(xml.data(), xml.size());
  if (!parsed) {
    return std::unexpected(fmt::format("not well-formed XML at byte {}: {}", parsed.offset, parsed.description()));
  }
  std::vector<Root> roots;
  for (auto const& found : document.select_nodes("//SmmCategory")) {
    auto root = read_category(found.node());
    if (!root) {
      return std::unexpected(root.error());
    }
    if (std::ranges::any_of(roots, [&](Root const& r) { return r.type == root->type; })) {
      return std::unexpected(fmt::format("SmmCategory '{}' is there twice", found.node().attribute("name").value()));
    }
    roots.push_back(std::move(*root));
  }
  if (roots.empty()) {
    return std::unexpected(fmt::format("no SmmCategory below <{}>", document.document_element().name()));
  }
  roots.push_back(Root{.type = 1, .deny = 1, .count = 0, .body = {}});
  return encode(roots);
}

std::string_view default_policy_xml() {
  return R"(<SmmIslolationPolicy>
  <SmmCategory name="IO">
    <PolicyAccessAttribute Value="Deny"/>
    <PolicyEntry><StartAddress Value="0xCF8"/><Size Value="0x4"/><SecurityAttributes Value="Write | StrictWidth"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xCFC"/><Size Value="0x4"/><SecurityAttributes Value="Write"/></PolicyEntry>
  </SmmCategory>
  <SmmCategory name="MSR">
    <PolicyAccessAttribute Value="Deny"/>
    <PolicyEntry><StartAddress Value="0xC0000080"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0000081"/><Size Value="4"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0010010"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0010111"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0x1D9"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xDA0"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0x6A0"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0x6A2"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0x6A4"/><Size Value="5"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0011010"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0011024"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0011018"/><Size Value="1"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
    <PolicyEntry><StartAddress Value="0xC0000101"/><Size Value="2"/><SecurityAttributes Value="Read | Write | Execute"/></PolicyEntry>
  </SmmCategory>
  <SmmCategory name="INSTRUCTION">
    <PolicyAccessAttribute Value="Allow"/>
    <PolicyEntry><Instruction Value="CLI"/><SecurityAttributes Value="Execute"/></PolicyEntry>
    <PolicyEntry><Instruction Value="WBINVD"/><SecurityAttributes Value="Execute"/></PolicyEntry>
    <PolicyEntry><Instruction Value="HLT"/><SecurityAttributes Value="Execute"/></PolicyEntry>
  </SmmCategory>
  <SmmCategory name="SAVESTATE">
    <PolicyAccessAttribute Value="Allow"/>
    <PolicyEntry><SaveStateField Value="RAX"/><SecurityAttributes Value="LimitedRead"/><AccessCondition Value="IOWRITE"/></PolicyEntry>
    <PolicyEntry><SaveStateField Value="IO_TRAP"/><SecurityAttributes Value="Read"/></PolicyEntry>
  </SmmCategory>
</SmmIslolationPolicy>
)";
}

}  // namespace mm::scenario
