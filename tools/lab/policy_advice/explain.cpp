// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy_advice/explain.hpp"

#include <fmt/format.h>

#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/names.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

/// Does this entry, alone in its list, match the access?
bool matches(Root const& root, Entry const& entry, Access const& access) {
  Policy alone;
  alone.roots.push_back({.type = root.type, .deny = root.deny, .entries = {entry}, .place = {}, .comments = {}});
  return decide(encode(alone), access) == (root.deny ? Status::AccessDenied : Status::Success);
}

bool is_span(Type type) { return type == Type::Io || type == Type::Msr || type == Type::Mem; }

bool overlaps(Entry const& e, Access const& a) {
  return e.size != 0 && (a.address >= e.base ? a.address - e.base < e.size : e.base - a.address < a.width);
}
bool contains(Entry const& e, Access const& a) {
  return a.address >= e.base && a.address - e.base < e.size && a.width <= e.size - (a.address - e.base);
}

/// Why an entry that has to do with the access does not match; empty: it has nothing to do with it.
std::string why_not(Root const& root, Entry const& e, Access const& a) {
  if (!is_span(root.type)) {
    if (e.base != a.address) {
      return "";
    }
    return root.type == Type::Instruction ? "it does not carry Execute"
           : (e.attributes & policy::kCondRead) != 0
               ? fmt::format("its condition is {}", kConditions[e.condition % kConditions.size()])
               : "it does not carry Read";
  }
  if (!overlaps(e, a)) {
    return "";
  }
  if (root.type == Type::Io && (e.attributes & policy::kStrictWidth) != 0 &&
      (e.base != a.address || e.size != a.width)) {
    return fmt::format("StrictWidth: it matches only {} bytes at {}", e.size, hex(e.base));
  }
  if (!root.deny && !contains(e, a)) {
    return "it contains only a part of the access";
  }
  return fmt::format("it does not carry {}", a.access == policy::kRead    ? "Read"
                                             : a.access == policy::kWrite ? "Write"
                                                                          : "Execute");
}

std::string reason_of(Explanation const& x, Root const* root, Access const& a) {
  if (x.core != nullptr) {
    return "refused by the core, whatever the policy says: " + row_text(*x.core);
  }
  if (x.status == Status::InvalidParameter) {
    return "the engine refuses the question itself as malformed";
  }
  if (root == nullptr) {
    return a.type == Type::SaveState
               ? std::string{"the policy has no SAVESTATE list, so every field may be read"}
               : fmt::format("the policy has no {} list, so everything of this kind is refused", category_name(a.type));
  }
  if (a.type == Type::Mem && root->deny && root->entries.empty()) {
    return "the memory list is filled from the page tables when the policy is fetched; at run time the page tables "
           "decide";
  }
  if (x.entry) {
    return fmt::format("entry {} of the {} list matches: {}", *x.entry + 1, root->deny ? "deny" : "allow",
                       describe(root->type, root->entries[*x.entry]));
  }
  return root->deny ? "no entry of the deny list matches, so the access is allowed"
                    : "no entry of the allow list matches, so the access is refused";
}

}  // namespace

std::string describe(policy::Type type, Entry const& e) {
  std::string const words = attribute_words(e.attributes);
  switch (type) {
    case Type::Instruction:
      return fmt::format("{} {}", e.base < kInstructions.size() ? kInstructions[e.base] : "?", words);
    case Type::SaveState:
      return fmt::format("{} {}{}", e.base < kFields.size() ? kFields[e.base] : "?", words,
                         e.condition == 0 ? "" : fmt::format(" {}", kConditions[e.condition % kConditions.size()]));
    case Type::Mem:
    case Type::Io:
    case Type::Msr:
      break;
  }
  return fmt::format("{} {}{} {}", category_name(type), hex(e.base),
                     e.size <= 1 ? "" : "-" + hex(e.base + (e.size - 1)), words.empty() ? "(nothing)" : words);
}

Explanation explain(Policy const& policy, Access const& access) {
  Explanation out;
  out.status = decide(encode(policy), access);
  Root const* const root = find_root(policy, access.type);
  if (root != nullptr) {
    out.has_root = true;
    out.deny_list = root->deny;
    out.list = root->place;
    for (std::size_t i = 0; i < root->entries.size() && !out.entry; ++i) {
      if (out.status != Status::InvalidParameter && matches(*root, root->entries[i], access)) {
        out.entry = i;
        out.place = root->entries[i].place;
      } else if (auto why = why_not(*root, root->entries[i], access); !why.empty()) {
        out.near_misses.push_back({i, std::move(why)});
      }
    }
  }
  if (out.status != Status::InvalidParameter) {
    out.core = core_refusal(access);
  }
  out.reason = reason_of(out, root, access);
  if (out.core != nullptr) {
    out.status = Status::AccessDenied;
  } else if (out.status == Status::Success && depends_on_config_address(access)) {
    out.reason +=
        "; but while port 0xCF8 names a register that ring 0 stands on (`mmsim policy core`), the core refuses";
  }
  return out;
}

}  // namespace mm::policy_tools
