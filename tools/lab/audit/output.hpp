// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/lab/audit/rules.hpp"

namespace mm::audit {

/// The audit of one scenario.
struct Named {
  std::string title;
  Report report;
  std::string ended{};  ///< how the machine ended before its last step, words; empty: it did not
};

/// Table of regions, table of rules, one line for each offence. `colour`: with terminal colours.
std::string text(Report const& report, bool colour);
nlohmann::json json(Report const& report);
/// A page that needs nothing else: memory maps to scale (SVG), rules, regions. Well-formed XML, too.
std::string page(std::vector<Named> const& audits);

}  // namespace mm::audit
