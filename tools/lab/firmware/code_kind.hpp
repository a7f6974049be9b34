// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <Zydis/Zydis.h>

#include <optional>

#include "core/base/types.hpp"

/// Which instructions ring 3 does not have: the one table of them.
namespace mm::lab {

enum class CodeKind : u8 {
  Privileged,  ///< faults in ring 3, and no system call replaces it
  Policy,      ///< faults in ring 3; a system call under the policy replaces it
  Rsm,
  RsmBytes,   ///< 0F AA, not at the start of an instruction
  Umip,       ///< faults in ring 3 with CR4.UMIP
  LockForm,   ///< LOCK before an instruction that does not take it
  Device,     ///< memory at a fixed address where devices are
  Unreached,  ///< bytes of a privileged instruction where no path was found to
};

/// INS and OUTS of every width.
bool is_string_io(ZydisMnemonic mnemonic);

/// Privileged, Policy, Rsm or Umip; nothing for what ring 3 may execute.
std::optional<CodeKind> code_kind(ZydisDecodedInstruction const& instruction);

}  // namespace mm::lab
