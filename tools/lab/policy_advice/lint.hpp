// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/lab/policy/policy_file.hpp"
#include "tools/lab/policy_advice/levels.hpp"

/// What is wrong with a policy, or weaker than its author may think.
namespace mm::policy_tools {

enum class Severity : u8 { Error, Warning, Note };
std::string_view severity_name(Severity severity) noexcept;

enum class Rule : u8 {
  Refused,        ///< the supervisor would not start with this policy
  Source,         ///< the source says something that is not read as it looks
  Level,          ///< lowers the isolation level
  DangerousMsr,   ///< ring 3 may write an MSR that breaks its isolation
  DangerousPort,  ///< ring 3 may write a port that does
  Overlap,        ///< two entries of a list share an access
  Shadowed,       ///< without the entry no decision would change
  Empty,          ///< the entry carries no right that is ever asked for
  Wide,           ///< an allow entry over many MSRs or ports
  DenyList,       ///< what is not named is allowed
  Missing,        ///< no list of a type
  TrapOnly,       ///< IO_TRAP is allowed and RAX is not: the I/O record holds RAX and stays refused
};
struct RuleInfo {
  Rule rule{};
  std::string_view id;  ///< stable: "policy/overlap"
  Severity severity{};
  std::string_view summary;
};
std::span<RuleInfo const> rules() noexcept;
RuleInfo const& info_of(Rule rule) noexcept;

struct Finding {
  Rule rule{};
  Place place;
  std::string text;
  std::string remedy;  ///< may be empty
};

struct LintOptions {
  std::vector<Vendor> vendors{Vendor::Intel, Vendor::Amd};
  std::vector<Region> regions;
};
struct LintResult {
  Levels levels;
  bool refused = false;  ///< by the supervisor; the level is 0 then
  std::vector<Finding> findings;
};
LintResult lint(PolicyFile const& file, LintOptions const& options);

}  // namespace mm::policy_tools
