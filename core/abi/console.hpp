// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

/// Framing of what a machine reports to the runner: on QEMU bytes on the debug console, in the simulator the same
/// payloads in memory.
namespace mm::abi {

inline constexpr u8 kFrameMagic = 0xA5;

enum class FrameKind : u8 {
  Trace = 1,       ///< one hal::TraceEvent
  StepResult = 2,  ///< steps::StepResult header + data
  Text = 3,        ///< UTF-8 diagnostic line without newline
  End = 4,         ///< u32: 0 all steps ran, 1 boot failed; nothing follows
};

/// Four bytes in front of each payload. Bytes outside frames are ignored by the reader.
struct FrameHeader {
  u8 magic = kFrameMagic;
  u8 kind = 0;
  u16 length = 0;  ///< payload bytes
};
static_assert(sizeof(FrameHeader) == 4);

}  // namespace mm::abi
