// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/lab/policy/access.hpp"
#include "tools/lab/policy/policy_file.hpp"
#include "tools/lab/policy_advice/core_refusal.hpp"

/// Which entry decides an access, in words.
namespace mm::policy_tools {

/// An entry that covers the access, or part of it, and does not decide: why not.
struct NearMiss {
  std::size_t entry = 0;  ///< from 0
  std::string why;
};

struct Explanation {
  Status status{};                   ///< what the supervisor says: the core, then the policy's engine
  policy::Foundation const* core{};  ///< the row by which the core refuses it, whatever the policy says; null: none
  bool has_root = false;             ///< the policy has a list for this kind of access
  bool deny_list = false;            ///< of that root
  Place list;                        ///< of that root
  std::optional<std::size_t> entry;  ///< from 0: the one that decides
  Place place;                       ///< of that entry
  std::string reason;                ///< one sentence
  std::vector<NearMiss> near_misses;
};

/// The deciding entry is found by asking the engine about a policy with that entry alone.
Explanation explain(Policy const& policy, Access const& access);

/// "IO 0xCF8-0xCFB Write | StrictWidth"
std::string describe(policy::Type type, Entry const& entry);

}  // namespace mm::policy_tools
