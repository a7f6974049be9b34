// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>
#include <string_view>

/// What a reader types to start this program, so that the commands which messages propose work as they stand.
namespace mm::lab {

/// Sets it, once, before anything is told. Until then it is "mmsim".
void set_program_name(std::string name);
std::string const& program_name();

/// `text` with that name for the "mmsim " of a command: at the start of a line, or behind a quote, '(' or "Example: ".
std::string as_typed(std::string_view text);

}  // namespace mm::lab
