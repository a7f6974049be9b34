// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <span>

#include "core/base/types.hpp"

namespace mm::sim {

/// The vector that an instruction of ring 3 raises on the recorded CPU model (Westmere with UMIP, CR4 of MM) where the
/// engine would execute it or raise another: SSE4A (EXTRQ, INSERTQ, MOVNTSS, MOVNTSD) and VZEROUPPER, VZEROALL are not
/// there (#UD), nor are MONITOR and MWAIT at CPL 3, nor memory operands of MMX and SSE instructions that have registers
/// only; UMIP refuses SGDT, SIDT, SLDT, STR and SMSW, and CPL 3 RDPMC (#GP). SDM 2A, 2B.
/// `code`: from its first prefix, 15 bytes or as many as there are. Nothing: the engine is right.
std::optional<u8> refused_vector(std::span<u8 const> code) noexcept;

/// Whether an instruction that refused_vector() knows may have its opcode at `code`: what is looked for first.
bool may_be_refused(std::span<u8 const> code) noexcept;

/// Whether this byte can be a prefix.
bool is_prefix(u8 byte) noexcept;

}  // namespace mm::sim
