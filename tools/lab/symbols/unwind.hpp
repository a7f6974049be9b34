// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "core/base/types.hpp"
#include "tools/lab/text/bytes.hpp"

/// Who called whom, from the registers and the stack of ring 3 where it was stopped.
namespace mm::lab {

/// An image in memory, and the file that it was loaded from.
struct UnwindImage {
  Range where;
  std::shared_ptr<Bytes const> file;
};

/// What ring 3 left.
struct StoppedCode {
  u64 rip = 0;
  /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15: the numbers of the instruction set.
  std::array<u64, 16> registers{};
  u64 stack_at = 0;                    ///< address of `stack`
  std::span<std::byte const> stack{};  ///< memory from there on
};

struct StackFrame {
  u64 rip = 0;         ///< of the innermost frame where it stopped, of the others behind the call
  bool guess = false;  ///< found by a frame pointer, or as a return address on the stack: may be wrong
};

/// The frames, innermost first, at least that of `stopped.rip` itself. By the unwind data of an image (.pdata) where it
/// has some, else by frame pointers whose return address is behind a call. Ends where neither leads on; at most 64.
/// Facts: Microsoft's x64 exception handling, "unwind data for exception handling".
std::vector<StackFrame> unwind(StoppedCode const& stopped, std::span<UnwindImage const> images);

}  // namespace mm::lab
