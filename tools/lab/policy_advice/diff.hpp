// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>
#include <vector>

#include "tools/lab/policy/access.hpp"

/// What changes for ring 3 when one policy takes the place of another: ranges of accesses, not lines of text.
namespace mm::policy_tools {

/// Accesses whose decision differs: [first, last] with this width and kind of access.
struct Change {
  policy::Type type{};
  u64 first = 0;
  u64 last = 0;
  u64 width = 0;   ///< ports: bytes; otherwise 0
  u16 access = 0;  ///< of the rights that change together
  policy::IoTrap trap{};
  bool allowed = false;  ///< by the new policy
};

struct Difference {
  std::vector<Change> changes;
  std::vector<std::string> notes;  ///< what cannot be compared
};

/// Asks the engine about both policies at every place where a decision can change, so that the result is exact.
Difference difference(Policy const& before, Policy const& after);

/// "MSR 0xC0000080-0xC0000084 read and write"
std::string describe(Change const& change);

/// The first address of each run of [0, last] within which no decision on `type` with `width` changes, ascending.
std::vector<u64> decision_points(std::vector<Policy const*> const& policies, policy::Type type, u64 width, u64 last);

}  // namespace mm::policy_tools
