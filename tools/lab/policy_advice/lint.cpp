// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy_advice/lint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/names.hpp"
#include "tools/lab/policy_advice/core_refusal.hpp"
#include "tools/lab/policy_advice/explain.hpp"
#include "tools/lab/policy_advice/matches.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

constexpr std::array<RuleInfo, 12> kRules{{
    {Rule::Refused, "policy/refused", Severity::Error, "The supervisor refuses this policy and halts."},
    {Rule::Source, "policy/source", Severity::Warning, "The source says something that is not read as it looks."},
    {Rule::Level, "policy/level", Severity::Warning, "This lowers the isolation level of the policy."},
    {Rule::DangerousMsr, "policy/dangerous-msr", Severity::Warning,
     "The policy lets ring 3 write an MSR with which it could break its isolation."},
    {Rule::DangerousPort, "policy/dangerous-port", Severity::Warning,
     "The policy lets ring 3 write a port with which it could break its isolation."},
    {Rule::Overlap, "policy/overlap", Severity::Warning, "Two entries of a list share an access."},
    {Rule::Shadowed, "policy/shadowed", Severity::Warning, "Without this entry no decision would change."},
    {Rule::Empty, "policy/empty", Severity::Warning, "The entry carries no right that is ever asked for."},
    {Rule::Wide, "policy/wide", Severity::Warning, "An allow entry spans many MSRs or ports."},
    {Rule::DenyList, "policy/deny-list", Severity::Note, "What a deny list does not name is allowed."},
    {Rule::Missing, "policy/missing", Severity::Note, "The policy has no list of this type."},
    {Rule::TrapOnly, "policy/trap-without-rax", Severity::Warning,
     "The I/O record holds RAX, so it is refused where RAX is."},
}};

constexpr u64 kWideMsrs = 32;
constexpr u64 kWidePorts = 32;

class Linter {
 public:
  Linter(PolicyFile const& file, LintOptions const& options) : file_(file), options_(options) {}

  LintResult run() {
    out_.levels = levels_of(file_.policy, options_.vendors, options_.regions);
    if (auto const why = refusal(file_)) {
      out_.refused = true;
      out_.levels.level = 0;
      add(Rule::Refused, why->place, why->text, "");
    }
    for (auto const& w : file_.warnings) {
      add(Rule::Source, w.place, w.text, "");
    }
    level_findings();
    for (auto const& root : file_.policy.roots) {
      lists(root);
    }
    missing();
    trap_only();
    dangers(Type::Msr, policy::kFoundationMsrs, Rule::DangerousMsr);
    dangers(Type::Io, policy::kFoundationPorts, Rule::DangerousPort);
    config_ports();
    return std::move(out_);
  }

 private:
  void add(Rule rule, Place place, std::string text, std::string remedy) {
    out_.findings.push_back({rule, place, std::move(text), std::move(remedy)});
  }

  void level_findings() {
    for (auto const& c : out_.levels.categories) {
      if (c.level < 30) {
        auto const who = c.vendor ? fmt::format(" on {}", vendor_name(*c.vendor)) : std::string{};
        add(Rule::Level, c.place, fmt::format("level {}{} because {}", c.level, who, c.why), c.remedy);
      }
    }
  }

  void lists(Root const& root) {
    if (root.deny && root.type != Type::Mem) {
      add(Rule::DenyList, root.place,
          fmt::format("the {} list is a deny list: what its {} entries do not name is allowed",
                      category_name(root.type), root.entries.size()),
          "an allow list of what the drivers need is safer; mmsim policy learn writes one");
    }
    auto const shared = shared_entries(root);
    auto const redundant = root.type == Type::Mem ? std::vector<bool>(root.entries.size()) : redundant_entries(root);
    for (std::size_t i = 0; i < root.entries.size(); ++i) {
      entry(root, i, shared[i], redundant[i]);
    }
  }

  static u32 asked_for(Type type) {
    switch (type) {
      case Type::Instruction:
        return policy::kExecute;
      case Type::SaveState:
        return policy::kRead | policy::kCondRead;
      case Type::Mem:
        return ~0u;
      case Type::Io:
      case Type::Msr:
        break;
    }
    return policy::kRead | policy::kWrite;
  }

  void entry(Root const& root, std::size_t index, SharedEntries const& shared, bool redundant) {
    auto const& e = root.entries[index];
    auto const name = fmt::format("{} entry {} ({})", category_name(root.type), index + 1, describe(root.type, e));
    if ((e.attributes & asked_for(root.type)) == 0) {
      return add(Rule::Empty, e.place, name + " carries no right that is asked for, so it never matches",
                 fmt::format("name one of: {}", attribute_words(asked_for(root.type))));
    }
    for (std::size_t const other : shared.earlier) {
      bool const others = shared.more && other == shared.earlier.back();
      add(Rule::Overlap, e.place,
          fmt::format("{} overlaps entry {}{}{}", name, other + 1, line_of(root.entries[other]),
                      others ? " and more" : ""),
          "make them disjoint, or one");
    }
    if (redundant) {
      add(Rule::Shadowed, e.place, name + " changes no decision: other entries say the same", "remove it");
    }
    u64 const wide = root.type == Type::Msr ? kWideMsrs : root.type == Type::Io ? kWidePorts : UINT64_MAX;
    if (!root.deny && e.size > wide) {
      add(Rule::Wide, e.place, fmt::format("{} allows {} {}", name, e.size, root.type == Type::Msr ? "MSRs" : "ports"),
          "name what the driver uses");
    }
  }
  static std::string line_of(Entry const& e) { return e.place.line ? fmt::format(" (line {})", *e.place.line) : ""; }

  void missing() {
    for (auto const& [name, type] : kCategories) {
      if (find_root(file_.policy, type) == nullptr) {
        add(Rule::Missing, {},
            fmt::format("there is no {} list: {}", name,
                        type == Type::SaveState ? "ring 3 may read every field"
                        : type == Type::Mem     ? "FETCH_POLICY fails with NOT_FOUND"
                                                : "everything of this kind is refused"),
            "say so with an empty allow list");
      }
    }
  }

  /// The supervisor asks for both before it hands out the I/O record. RAX during an OUT is what level 30 tolerates.
  void trap_only() {
    constexpr auto kOut = policy::IoTrap::Write;
    auto const field = [](policy::SaveStateField f) {
      return Access{.type = Type::SaveState, .address = static_cast<u64>(f), .trap = kOut};
    };
    auto const record = explain(file_.policy, field(policy::SaveStateField::IoTrap));
    bool const rax = decide(file_.blob, field(policy::SaveStateField::Rax)) == Status::Success;
    if (record.status == Status::Success && !rax) {
      add(Rule::TrapOnly, record.entry ? record.place : record.list,
          "IO_TRAP may be read and RAX may not, so the I/O record is refused all the same",
          "allow RAX with LimitedRead and IOWRITE too");
    }
  }

  /// Writes that the policy allows and the core refuses all the same: on another supervisor ring 3 would have them.
  void dangers(Type type, std::span<policy::Foundation const> table, Rule rule) {
    for (auto const& row : table) {
      for (u64 at = row.first; at <= row.last; ++at) {
        if (!danger(type, at, row_text(row), rule)) {
          break;
        }
      }
    }
  }
  void config_ports() {
    for (u64 const port : {u64{policy::kPortConfigAddress}, u64{policy::kPortConfigData}}) {
      for (u64 at = port; at < port + 4; ++at) {
        if (!danger(Type::Io, at,
                    port == policy::kPortConfigAddress
                        ? "PCI configuration address"
                        : "PCI configuration data; the core refuses registers that ring 0 stands on",
                    Rule::DangerousPort)) {
          break;
        }
      }
    }
  }
  /// Whether the next register is worth a question: this one was refused.
  bool danger(Type type, u64 at, std::string const& what, Rule rule) {
    Access const access{.type = type, .address = at, .width = 1, .access = policy::kWrite};
    if (decide(file_.blob, access) != Status::Success) {
      return true;
    }
    auto const x = explain(file_.policy, access);
    add(rule, x.entry ? x.place : x.list,
        fmt::format("the policy lets ring 3 write {} {} ({}){}", category_name(type), hex(at), what,
                    x.core != nullptr ? "; this core refuses it whatever the policy says" : ""),
        x.deny_list ? "deny it, or change to an allow list" : "take it out of the allow list");
    return false;
  }

  PolicyFile const& file_;
  LintOptions const& options_;
  LintResult out_;
};

}  // namespace

std::string_view severity_name(Severity severity) noexcept {
  constexpr std::array<std::string_view, 3> kNames{"error", "warning", "note"};
  return kNames[static_cast<u8>(severity) % kNames.size()];
}

std::span<RuleInfo const> rules() noexcept { return kRules; }
RuleInfo const& info_of(Rule rule) noexcept { return kRules[static_cast<u8>(rule) % kRules.size()]; }

LintResult lint(PolicyFile const& file, LintOptions const& options) { return Linter{file, options}.run(); }

}  // namespace mm::policy_tools
