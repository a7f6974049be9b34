// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include "tools/lab/policy/names.hpp"
#include "tools/lab/policy/xml.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

/// Comments may not contain "--" or end with "-".
std::string comment(std::string_view text) {
  std::string out;
  for (char const c : text) {
    out += c == '-' && out.ends_with('-') ? ' ' : c;
  }
  return fmt::format("<!-- {} -->", out);
}

std::string element(std::string_view name, std::string_view value) {
  return fmt::format("<{} Value=\"{}\"/>", name, value);
}

std::string_view name_in(std::span<std::string_view const> names, u64 index) {
  return index < names.size() ? names[index] : "?";
}

std::string subject(Type type, Entry const& e) {
  switch (type) {
    case Type::Instruction:
      return element("Instruction", name_in(kInstructions, e.base));
    case Type::SaveState:
      return element("SaveStateField", name_in(kFields, e.base));
    case Type::Mem:
    case Type::Io:
    case Type::Msr:
      break;
  }
  return element(type == Type::Mem ? "BaseAddress" : "StartAddress", hex(e.base)) + " " + element("Size", hex(e.size));
}

void write_entry(std::string& out, Type type, Entry const& e) {
  out += "    <PolicyEntry>\n";
  for (auto const& text : e.comments) {
    out += "      " + comment(text) + "\n";
  }
  out += "      " + subject(type, e) + " " + element("SecurityAttributes", attribute_words(e.attributes));
  if (e.condition != 0) {
    out += " " + element("AccessCondition", name_in(kConditions, e.condition));
  }
  out += "\n    </PolicyEntry>\n";
}

/// What a source without a MEM category compiles to.
bool is_placeholder(Root const& root) { return root.type == Type::Mem && root.deny && root.entries.empty(); }

}  // namespace

std::string write_xml(Policy const& policy, std::vector<std::string> const& heading) {
  std::string out;
  for (auto const& line : heading) {
    out += comment(line) + "\n";
  }
  out += "<SmmIslolationPolicy>\n";
  for (auto const& root : policy.roots) {
    if (&root == &policy.roots.back() && policy.roots.size() > 1 && is_placeholder(root)) {
      break;
    }
    out += fmt::format("  <SmmCategory name=\"{}\">\n", category_name(root.type));
    for (auto const& text : root.comments) {
      out += "    " + comment(text) + "\n";
    }
    out += "    " + element("PolicyAccessAttribute", root.deny ? "Deny" : "Allow") + "\n";
    for (auto const& entry : root.entries) {
      write_entry(out, root.type, entry);
    }
    out += "  </SmmCategory>\n";
  }
  return out + "</SmmIslolationPolicy>\n";
}

}  // namespace mm::policy_tools
