// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <Zydis/Zydis.h>

#include <optional>

#include "sim/scenario/scan_code.hpp"

/// Which instructions ring 3 does not have: the one table of them.
namespace mm::scenario {

/// INS and OUTS of every width.
bool is_string_io(ZydisMnemonic mnemonic);

/// Privileged, Policy, Rsm or Umip; nothing for what ring 3 may execute.
std::optional<CodeKind> code_kind(ZydisDecodedInstruction const& instruction);

}  // namespace mm::scenario
