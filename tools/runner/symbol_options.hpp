// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <string>

#include "tools/runner/arguments.hpp"

namespace mm::runner {

/// --source-map, for a command that tells places in code.
void add_symbol_options(Arguments& command);
/// Takes over what was given, once the command line is read. The error is a sentence.
std::expected<void, std::string> use_symbol_options();

}  // namespace mm::runner
