// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>

#include "core/base/types.hpp"

/// What the code of drivers compares, for libFuzzer: both operands go into its table of recent compares, whose words
/// its mutations put into messages, and each byte of them that is the same now is a step that it sees. One machine a
/// program, one thread.
namespace mm::fuzz {

/// Compares of instructions outside `code` - the user core's among them - say nothing about messages.
void watch_compares(Range code);

/// A compare whose operands were not the same.
struct Compare {
  u64 left = 0;
  u64 right = 0;
  u32 bytes = 0;
  friend bool operator==(Compare const&, Compare const&) = default;
};
/// Those of the last input, each once, the latest when there were many.
std::span<Compare const> recent_compares();
/// The next input begins.
void forget_compares() noexcept;

/// For sim::MachineConfig::on_compare.
void note_compare(u64 at, u64 left, u64 right, u32 bytes) noexcept;

}  // namespace mm::fuzz
