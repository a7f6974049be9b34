// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>

#include "tools/runner/arguments.hpp"

/// What a shell wants to know of the command line: completions and the manual page, made from the same description as
/// --help, so that they cannot say anything else.
namespace mm::runner {

/// For bash's `complete`, to be sourced or put below bash-completion/completions.
std::string bash_completion(CommandText const& program);
/// For zsh's compinit: `_mmsim` in a folder of fpath.
std::string zsh_completion(CommandText const& program);
/// For fish: mmsim.fish below vendor_completions.d.
std::string fish_completion(CommandText const& program);
/// man(7) source of section 1. `version` stands in its foot.
std::string manual_page(CommandText const& program, std::string const& version);

}  // namespace mm::runner
