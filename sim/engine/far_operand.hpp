// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <span>

#include "hal/roles/machine.hpp"

namespace mm::sim {

/// Address of the selector that a far CALL or JMP through memory (FF /3, FF /5) takes, with the registers of `user` at
/// the instruction; the bases of FS and GS are 0. Nothing: `code` is no such instruction, or cut off.
std::optional<u64> far_selector_address(std::span<u8 const> code, hal::UserContext const& user) noexcept;

}  // namespace mm::sim
