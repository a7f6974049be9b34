// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/policy/lint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "sim/policy/blob.hpp"
#include "sim/policy/diff.hpp"
#include "sim/policy/explain.hpp"
#include "sim/policy/names.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;

constexpr std::array<RuleInfo, 12> kRules{{
    {Rule::Refused, "policy/refused", Severity::Error, "The supervisor refuses this policy and halts."},
    {Rule::Source, "policy/source", Severity::Warning, "The source says something that is not read as it looks."},
    {Rule::Level, "policy/level", Severity::Warning, "This lowers the isolation level of the policy."},
    {Rule::DangerousMsr, "policy/dangerous-msr", Severity::Warning,
     "Ring 3 may write an MSR with which it can break its isolation."},
    {Rule::DangerousPort, "policy/dangerous-port", Severity::Warning,
     "Ring 3 may write a port with which it can break its isolation."},
    {Rule::Overlap, "policy/overlap", Severity::Warning, "Two entries of a list share an access."},
    {Rule::Shadowed, "policy/shadowed", Severity::Warning, "Without this entry no decision would change."},
    {Rule::Empty, "policy/empty", Severity::Warning, "The entry carries no right that is ever asked for."},
    {Rule::Wide, "policy/wide", Severity::Warning, "An allow entry spans many MSRs or ports."},
    {Rule::DenyList, "policy/deny-list", Severity::Note, "What a deny list does not name is allowed."},
    {Rule::Missing, "policy/missing", Severity::Note, "The policy has no list of this type."},
    {Rule::TrapOnly, "policy/trap-without-rax", Severity::Warning,
     "The I/O record holds RAX, so it is refused where RAX is."},
}};

/// Registers (supervisor.md 6.3, advisory audit; APIC base and AMD's MMRAM registers added).
struct Danger {
  u64 first;
  u64 last;
  std::string_view what;
};
constexpr Danger kMsrs[] = {
    {0x1B, 0x1B, "APIC base: the local APIC can be laid over MMRAM"},
    {0x9E, 0x9E, "SMBASE"},
    {0x174, 0x176, "SYSENTER entry point"},
    {0x1D9, 0x1D9, "DEBUGCTL"},
    {0x1F2, 0x1F3, "SMRR: cached access to MMRAM"},
    {0x200, 0x20F, "variable MTRRs"},
    {0x250, 0x250, "fixed MTRR"},
    {0x258, 0x259, "fixed MTRRs"},
    {0x268, 0x26F, "fixed MTRRs"},
    {0x277, 0x277, "PAT"},
    {0x2FF, 0x2FF, "MTRR default type"},
    {0x4E0, 0x4E0, "SMM feature control: code access check"},
    {0x570, 0x570, "processor trace control: writes memory by itself"},
    {0x600, 0x600, "debug store area: writes memory by itself"},
    {0x6A0, 0x6A0, "user CET"},
    {0x6A2, 0x6A2, "supervisor CET"},
    {0x6A4, 0x6A8, "shadow-stack pointers"},
    {0xDA0, 0xDA0, "XSS"},
    {0xC000'0080, 0xC000'0080, "EFER: paging rights and system calls"},
    {0xC000'0081, 0xC000'0084, "STAR, LSTAR, CSTAR, FMASK: system-call entry of the supervisor"},
    {0xC000'0101, 0xC000'0102, "GS bases"},
    {0xC001'0010, 0xC001'0010, "SYSCFG"},
    {0xC001'0015, 0xC001'0015, "HWCR: MMRAM lock"},
    {0xC001'0111, 0xC001'0113, "SMM_BASE, SMM_ADDR, SMM_MASK: place and protection of MMRAM"},
};
constexpr Danger kPorts[] = {{0xB2, 0xB3, "APM: raises MMIs from inside MM"},
                             {0xCF8, 0xCFB, "PCI configuration address"},
                             {0xCFC, 0xCFF, "PCI configuration data: MMRAM control, BARs"}};

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
    dangers(Type::Msr, kMsrs, Rule::DangerousMsr);
    dangers(Type::Io, kPorts, Rule::DangerousPort);
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
    for (std::size_t i = 0; i < root.entries.size(); ++i) {
      entry(root, i);
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
      default:
        return policy::kRead | policy::kWrite;
    }
  }

  void entry(Root const& root, std::size_t index) {
    auto const& e = root.entries[index];
    auto const name = fmt::format("{} entry {} ({})", category_name(root.type), index + 1, describe(root.type, e));
    if ((e.attributes & asked_for(root.type)) == 0) {
      return add(Rule::Empty, e.place, name + " carries no right that is asked for, so it never matches",
                 fmt::format("name one of: {}", attribute_words(asked_for(root.type))));
    }
    for (std::size_t other = 0; other < index; ++other) {
      if (shares(root, root.entries[other], e)) {
        add(Rule::Overlap, e.place,
            fmt::format("{} overlaps entry {}{}", name, other + 1, line_of(root.entries[other])),
            "make them disjoint, or one");
      }
    }
    if (root.type != Type::Mem && is_redundant(root, index)) {
      add(Rule::Shadowed, e.place, name + " changes no decision: other entries say the same", "remove it");
    }
    u64 const wide = root.type == Type::Msr ? kWideMsrs : root.type == Type::Io ? kWidePorts : UINT64_MAX;
    if (!root.deny && e.size > wide) {
      add(Rule::Wide, e.place, fmt::format("{} allows {} {}", name, e.size, root.type == Type::Msr ? "MSRs" : "ports"),
          "name what the driver uses");
    }
  }
  static std::string line_of(Entry const& e) { return e.place.line ? fmt::format(" (line {})", *e.place.line) : ""; }

  static bool shares(Root const& root, Entry const& a, Entry const& b) {
    if (root.type == Type::Instruction || root.type == Type::SaveState) {
      return a.base == b.base;
    }
    bool const exact = root.type == Type::Io && ((a.attributes & b.attributes) & policy::kStrictWidth) != 0;
    bool const meet = a.base <= b.base ? b.base - a.base < a.size : a.base - b.base < b.size;
    return exact ? a.base == b.base && a.size == b.size : meet;
  }

  static bool is_redundant(Root const& root, std::size_t index) {
    Policy with;
    with.roots.push_back(root);
    Policy without = with;
    without.roots[0].entries.erase(without.roots[0].entries.begin() + static_cast<std::ptrdiff_t>(index));
    return difference(with, without).changes.empty();
  }

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

  void dangers(Type type, std::span<Danger const> table, Rule rule) {
    for (auto const& danger : table) {
      for (u64 at = danger.first; at <= danger.last; ++at) {
        Access const access{.type = type, .address = at, .width = 1, .access = policy::kWrite};
        auto const x = explain(file_.policy, access);
        if (x.status != Status::Success) {
          continue;
        }
        add(rule, x.entry ? x.place : x.list,
            fmt::format("ring 3 may write {} {} ({})", category_name(type), hex(at), danger.what),
            x.deny_list ? "deny it, or change to an allow list" : "take it out of the allow list");
        break;
      }
    }
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
