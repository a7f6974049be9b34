// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <set>
#include <string>
#include <vector>

#include "tools/lab/policy/access.hpp"

/// From what drivers were seen to do, to a policy that allows that and nothing else.
namespace mm::policy_tools {

/// One access that was recorded.
struct Need {
  Access access;
  std::string driver;           ///< who made it
  bool refused_before = false;  ///< the policy that the scenario names refuses it
  std::string subject{};        ///< of a save-state read that no policy can name: the register
  std::string place{};          ///< where it was made: scenario and step
};

struct Learnt {
  Policy policy;                   ///< allow lists; each entry names its drivers in a comment
  std::vector<std::string> notes;  ///< what no policy can allow: driver, register and place, each once
};

/// Allow lists for all four types, empty ones included, and the MEM placeholder.
///
/// Ports and MSRs that lie side by side, are needed by the same drivers with the same rights, become one entry. Ports
/// whose accesses overlap with different rights become StrictWidth entries; with `strict_width` all ports do.
/// RAX is allowed as level 30 tolerates it: LimitedRead, while an OUT raised the MMI.
Learnt learn(std::vector<Need> const& needs, bool strict_width = false);

/// Allows everything that can be allowed: nothing is refused while accesses are recorded.
Policy permissive_policy();

}  // namespace mm::policy_tools
