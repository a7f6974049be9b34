// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>
#include <string>

#include "hal/roles/trace.hpp"

namespace mm::lab {

/// What a PolicyRefusal event is about: "IO 0x3F8 write, 1 byte".
std::string refused_access(hal::event::PolicyRefusal const& refused);

/// What a PolicyRefusal event says: which access, who refused it, and the entry or the command that helps.
/// "the policy refuses IO 0x3F8 write, 1 byte; ..." Two or more clauses, no full stop.
std::string refusal_text(hal::TraceEvent const& event);

/// The last PolicyRefusal in front of event `at` on the same CPU, since ring 3 last asked for something; null: none.
hal::TraceEvent const* refusal_before(std::span<hal::TraceEvent const> trace, std::size_t at);

}  // namespace mm::lab
