// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <concepts>
#include <span>

#include "core/abi/console.hpp"
#include "core/abi/syscalls.hpp"
#include "core/base/types.hpp"

namespace mm::communication {

/// What the component needs of the normal world: memory and ports, as firmware or an OS reaches them. Satisfied by the
/// simulator, by the ROM payload and by a process under Linux. Reads of locked MMRAM give FF, writes are dropped.
template <typename N>
concept NormalWorld = requires(N& n, PhysAddr at, std::span<std::byte> in, std::span<std::byte const> out, u16 port,
                               abi::IoWidth w, u32 v) {
  { n.read(at, in) } noexcept;
  { n.write(at, out) } noexcept;
  { n.port_in(port, w) } noexcept -> std::same_as<u32>;
  { n.port_out(port, w, v) } noexcept;  ///< a write to 0xB2 returns after the MMI was served
};

}  // namespace mm::communication
