// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "sim/scenario/bytes.hpp"

namespace mm::scenario {

/// Compiles the XML policy source (supervisor.md 6.6) to a V1.0 blob (6.1): header, roots in file order, MEM root (deny
/// list, no descriptor) last, then the bodies. Error: a sentence naming the category and what is wrong with it.
std::expected<Bytes, std::string> compile_policy(std::string_view xml);

/// The policy of scenarios that name none: that of the published example (6.7).
std::string_view default_policy_xml();

}  // namespace mm::scenario
