// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>
#include <vector>

#include "core/base/types.hpp"

namespace mm::sim {

/// Memory above the stack pointer of ring 3 when its registers were told: behind a fault, or a system call that was
/// refused. Whoever wants it hands in a list (MachineConfig::stacks).
struct Ring3Stack {
  std::size_t event = 0;  ///< index in the trace of the event with the stack pointer (event::Registers, part 1)
  u64 rsp = 0;
  std::vector<std::byte> bytes;  ///< at most kMostBytes; what lies behind the stack may be among them

  static constexpr u64 kMostBytes = 32u << 10;
  static constexpr std::size_t kMostStacks = 64;
};

}  // namespace mm::sim
