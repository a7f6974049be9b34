// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "tools/lab/policy/model.hpp"

/// Which accesses the entries of a list match, for all of them at once: the answers of core/policy about one access,
/// laid out over all accesses in n log n. Tests hold the two against each other.
namespace mm::policy_tools {

/// Accesses [first, last], by their first address.
struct AccessRun {
  u64 first = 0;
  u64 last = 0;
};

/// The accesses of `width` bytes (ports; else 0 or 1) up to `last` that an entry of a MEM, IO or MSR list matches when
/// it has the right; nothing when it matches none.
std::optional<AccessRun> matched_run(policy::Type type, bool deny, Entry const& entry, u64 width, u64 last);

/// For each of `starts`, as decision_points() gives them: how many entries of `root` with `right` match there.
std::vector<u32> count_matches(Root const& root, std::vector<u64> const& starts, u64 width, u64 last, u32 right);

/// Of each entry of an IO, MSR, INSTRUCTION or SAVE_STATE list: whether every decision stays as it is without it.
std::vector<bool> redundant_entries(Root const& root);

/// The earlier entries that an entry shares accesses with.
struct SharedEntries {
  std::vector<std::size_t> earlier;  ///< ascending, at most kMostShared
  bool more = false;
};
inline constexpr std::size_t kMostShared = 4;
std::vector<SharedEntries> shared_entries(Root const& root);

}  // namespace mm::policy_tools
