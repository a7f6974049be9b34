// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/lab/policy_advice/diff.hpp"
#include "tools/lab/policy_advice/explain.hpp"
#include "tools/lab/policy_advice/lint.hpp"

/// What `mmsim policy` prints: for people, as JSON, as SARIF 2.1.0.
namespace mm::runner {

void print_lint(std::string const& file, policy_tools::LintResult const& result);
nlohmann::json lint_json(std::string const& file, policy_tools::LintResult const& result);
nlohmann::json lint_sarif(std::string const& file, policy_tools::LintResult const& result);

/// What the core refuses, whatever a policy says.
void print_core();
nlohmann::json core_json();

void print_explanation(std::string const& file, policy_tools::Policy const& policy, policy_tools::Access const& access,
                       policy_tools::Explanation const& x);
nlohmann::json explanation_json(policy_tools::Policy const& policy, policy_tools::Access const& access,
                                policy_tools::Explanation const& x);

void print_difference(policy_tools::Difference const& difference);
/// A heading and tables, as a comment on a pull request has them.
std::string difference_markdown(policy_tools::Difference const& difference);
nlohmann::json difference_json(policy_tools::Difference const& difference);

}  // namespace mm::runner
