// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>

#include "core/policy/foundation.hpp"
#include "tools/lab/policy/access.hpp"

/// core/policy/foundation.hpp in words: what the core refuses, whatever a policy says.
namespace mm::policy_tools {

/// The row that refuses the access. `config_address`: what port 0xCF8 holds. Null: the policy decides.
policy::Foundation const* core_refusal(Access const& access, u32 config_address = 0) noexcept;

/// Whether a write of these ports is refused for some contents of port 0xCF8 and not for others.
bool depends_on_config_address(Access const& access) noexcept;

/// "IA32_PAT: memory types of ring 0's pages"
std::string row_text(policy::Foundation const& row);

/// The XML entry that allows the access, as one line; nothing where no entry can.
std::string allowing_entry(Access const& access);

}  // namespace mm::policy_tools
