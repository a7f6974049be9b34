// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/lab/audit/facts.hpp"

namespace mm::audit {

/// A range that breaks a rule.
struct Offence {
  Range range;
  std::string what;
  u32 mmi = 0;  ///< the audit that saw it first: 1 is the one after the first MMI
};

/// What must hold. `source`: "MmPagingAudit n" is check n of the paging audit of mu_feature_mm_supv, "ours" is not in
/// it.
struct Rule {
  std::string_view name;
  std::string_view text;
  std::string_view source;
  void (*check)(Facts const&, std::vector<Offence>&);
};
std::span<Rule const> rules();

/// Neighbouring pages with the same rights and the same owner.
struct Region {
  Range range;
  memory::PageAttr attr;
  Kind kind{};
  std::string owner;  ///< empty: nobody's
};

struct RuleResult {
  Rule const* rule = nullptr;
  std::vector<Offence> offences;
};

/// The result of one or more audits of one machine.
struct Report {
  Range mmram;
  u64 memory_bytes = 0;
  u64 loaded_end = 0;
  u32 audits = 0;
  std::vector<Region> regions;  ///< as the last audit found them
  std::vector<RuleResult> rules;

  bool passed() const;
};

/// Adds one audit to `report`. An offence that an earlier audit has seen is not repeated.
void audit(Facts const& facts, Report& report);

/// "RW user", "RX supervisor".
std::string rights_text(memory::PageAttr attr);
std::string_view kind_name(Kind kind);
/// "0x1000-0x2fff"
std::string range_text(Range range);

}  // namespace mm::audit
