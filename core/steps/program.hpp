// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <string_view>

#include "core/abi/comm.hpp"
#include "core/abi/platform.hpp"
#include "core/abi/syscalls.hpp"
#include "core/arch/ipi.hpp"
#include "core/base/types.hpp"
#include "core/steps/cpu_state.hpp"

/// The binary step program: what the normal world does in one run, encoded by the runner, decoded and run by the same
/// source in the simulator and in the ROM payload. Little-endian; every record is a multiple of 8 bytes.
///
/// kStepRows is the one list of the operations: their names, what their three numbers mean and may be, and how much
/// data follows. The decoder, the story of a run and the page of the format take them from there.
namespace mm::steps {

inline constexpr u32 kStepMagic = 0x5053'4D4D;  // 'MMSP'
inline constexpr u32 kStepVersion = 1;
/// More steps than this are refused.
inline constexpr u32 kMaxSteps = 65536;
/// More repetitions of one TimedMmi step than this are refused.
inline constexpr u64 kMaxTimedRepetitions = 1'000'000;
/// Longest run of bytes that one step writes, reads or sends.
inline constexpr u64 kMaxStepBytes = platform::kCommPages * kPageSize;
/// Data bytes in one StepResult frame; longer data comes in several frames, see StepResult::data_offset.
inline constexpr u32 kResultChunk = 4096;

/// First 16 bytes of a step program; `count` Step records follow.
struct StepProgramHeader {
  u32 magic = kStepMagic;
  u32 version = kStepVersion;
  u32 count = 0;
  u32 total_bytes = 0;  ///< of the program, this header included
};
static_assert(sizeof(StepProgramHeader) == 16);

enum class StepOp : u16 {
  Invalid = 0,  ///< only in results: the program itself is malformed
  Communicate =
      1,  ///< a = abi::Channel, b = mailbox valid byte, c = most reply bytes to fetch; data = whole buffer content
  Mailbox = 2,    ///< a = abi::Channel; data = up to 24 raw bytes for the start of the mailbox
  RawMmi = 3,     ///< a = value for port 0xB2, b = value for port 0xB3 (written first), c = 1: with an NMI pending
  SmiTo = 4,      ///< a = APIC ID: an SMI IPI
  Read = 5,       ///< a = address, b = bytes -> data
  Write = 6,      ///< a = address; data
  Fill = 7,       ///< a = address, b = bytes, c = byte value
  PortIn = 8,     ///< a = port, b = abi::IoWidth -> value
  PortOut = 9,    ///< a = port, b = abi::IoWidth, c = value
  ReadMsr = 10,   ///< a = MSR -> status, value
  WriteMsr = 11,  ///< a = MSR, b = value -> status
  /// a = repetitions, b = port (0xB2, or another to see the cost of the instruction alone), c = 1: the supervisor
  /// channel, else the user's; data = its buffer, made valid before each repetition and withdrawn when MM does not take
  /// it (none: no message) -> value = least, detail = mean ticks of the OUT; status Unsupported where the normal world
  /// has no clock.
  TimedMmi = 12,
  /// Through MmCommunicator: a = abi::Channel, b = 1 for a V3 header, c = most reply bytes to fetch; data = GUID of the
  /// recipient and the message. In the result, byte 1 of detail is 0 or 1 + CommunicateError; status is that error's
  /// efi_status() unless it is MM's own.
  Call = 13,
  UseBuffers = 14,  ///< a = abi::Channel, b = buffer, c = mailbox: where later steps of the channel communicate
  /// The registers of the program that raises MMIs: a = mask of those to set (bit = CpuRegister), data = CpuState
  /// (none: a is 0) -> data = CpuState; status InvalidParameter: the payload cannot run with them, none was set.
  Cpu = 20,
  /// An I/O instruction that the chipset turns into an MMI: a = port, b = abi::IoWidth, c = value, `form` of the step
  /// = TrappedForm bits -> value = what IN gave; status Unsupported where the chipset has no I/O trap.
  TrappedIo = 21,
  Ipi = 22,  ///< a = ICR low half, b = destination; refused: is_sendable() says no
  /// What the program loads behind its OUT from now on: a = LaterLoads::mask, data = CpuState.
  Later = 23,
  /// A CPU other than the boot processor executes an I/O instruction over and over: every MMI finds it there.
  /// a = CPU, b = port, bits 16 and 17 abi::IoWidth, c = its RSI, `form` = TrappedForm bits -> status Unsupported where
  /// the save state records no I/O, InvalidParameter: no such CPU.
  Park = 24,
};

/// Bits of Step::form.
struct TrappedForm {
  static constexpr u16 kIn = 1;
  static constexpr u16 kString = 2;     ///< OUTS, INS
  static constexpr u16 kImmediate = 8;  ///< the port is in the instruction, not in DX
};

/// One step; `data_bytes` bytes follow, padded with zeros to a multiple of 8.
struct Step {
  u16 op = 0;    ///< StepOp
  u16 form = 0;  ///< TrappedIo, Park
  u32 data_bytes = 0;
  u64 a = 0, b = 0, c = 0;
};
static_assert(sizeof(Step) == 32);

/// What one step gave; `data` follows. Data longer than kResultChunk comes in several frames with the same header but
/// for data_offset. A step refused by the decoder has status InvalidParameter and detail 1.
struct StepResult {
  u32 index = 0;
  u32 op = 0;           ///< StepOp
  u64 status = 0;       ///< Communicate: mailbox ReturnStatus; else EFI_STATUS of the access
  u64 value = 0;        ///< Communicate: mailbox ReturnBufferSize; PortIn, ReadMsr: what was read
  u64 detail = 0;       ///< Communicate, Call: mailbox valid byte after the MMI; see StepOp::Call for byte 1
  u32 data_bytes = 0;   ///< of the whole step
  u32 data_offset = 0;  ///< of this frame's data
};
static_assert(sizeof(StepResult) == 40);

/// One of the three numbers of a step. Without a name the operation does not look at it.
struct StepNumber {
  std::string_view name{};
  u64 most = ~u64{0};
};

/// What one operation is called, and which numbers and how many bytes of data it takes.
struct StepRow {
  StepOp op{};
  std::string_view name;
  std::array<StepNumber, 3> numbers{};  ///< a, b, c
  u64 least_data = 0;
  u64 most_data = ~u64{0};
};

namespace detail {
inline constexpr StepNumber kChannel{"channel", static_cast<u64>(abi::Channel::User)};
inline constexpr StepNumber kAddress{"address"};
inline constexpr StepNumber kBytes{"bytes"};
inline constexpr StepNumber kPort{"port", 0xFFFF};
inline constexpr StepNumber kWidth{"width", static_cast<u64>(abi::IoWidth::Dword)};
inline constexpr StepNumber kValue32{"value", 0xFFFF'FFFF};
inline constexpr StepNumber kMsr{"msr", 0xFFFF'FFFF};
inline constexpr StepNumber kReplyBytes{"reply_bytes"};
}  // namespace detail

/// Every operation, in the order of StepOp.
inline constexpr std::array kStepRows{
    StepRow{StepOp::Communicate,
            "Communicate",
            {{detail::kChannel, {"valid", 0xFF}, detail::kReplyBytes}},
            0,
            kMaxStepBytes},
    StepRow{StepOp::Mailbox, "Mailbox", {{detail::kChannel}}, 0, sizeof(abi::CommBufferStatus)},
    StepRow{StepOp::RawMmi, "RawMmi", {{{"command", 0xFF}, {"data", 0xFF}, {"nmi", 1}}}},
    StepRow{StepOp::SmiTo, "SmiTo", {{{"apic_id", 0xFF}}}},
    StepRow{StepOp::Read, "Read", {{detail::kAddress, detail::kBytes}}},
    StepRow{StepOp::Write, "Write", {{detail::kAddress}}},
    StepRow{StepOp::Fill, "Fill", {{detail::kAddress, detail::kBytes, {"value", 0xFF}}}},
    StepRow{StepOp::PortIn, "PortIn", {{detail::kPort, detail::kWidth, detail::kValue32}}},
    StepRow{StepOp::PortOut, "PortOut", {{detail::kPort, detail::kWidth, detail::kValue32}}},
    StepRow{StepOp::ReadMsr, "ReadMsr", {{detail::kMsr}}},
    StepRow{StepOp::WriteMsr, "WriteMsr", {{detail::kMsr, {"value"}}}},
    StepRow{StepOp::TimedMmi,
            "TimedMmi",
            {{{"repetitions", kMaxTimedRepetitions}, detail::kPort, {"supervisor", 1}}},
            0,
            kMaxStepBytes},
    StepRow{StepOp::Call, "Call", {{detail::kChannel, {"v3", 1}, detail::kReplyBytes}}, sizeof(Guid)},
    StepRow{StepOp::UseBuffers, "UseBuffers", {{detail::kChannel, {"buffer"}, {"mailbox"}}}},
    StepRow{StepOp::Cpu, "Cpu", {{{"registers", 0xFFFF'FFFF}}}, 0, sizeof(CpuState)},
    StepRow{StepOp::TrappedIo, "TrappedIo", {{detail::kPort, detail::kWidth, detail::kValue32}}},
    StepRow{StepOp::Ipi, "Ipi", {{{"command", 0xFFFF'FFFF}, {"destination", arch::kBroadcast}}}},
    StepRow{StepOp::Later, "Later", {{{"registers", 0xFFFF'FFFF}}}, sizeof(CpuState), sizeof(CpuState)},
    StepRow{StepOp::Park, "Park", {{{"cpu", platform::kMaxCpus - 1}, {"port", 0x2'FFFF}, {"rsi"}}}},
};

/// The row of an operation as a program has it; null: there is no such operation.
constexpr StepRow const* row_of(u16 op) noexcept {
  for (StepRow const& row : kStepRows) {
    if (static_cast<u16>(row.op) == op) {
      return &row;
    }
  }
  return nullptr;
}

/// The first 4 GiB only, which is what the ROM payload maps; at most kMaxStepBytes.
constexpr bool in_memory(u64 addr, u64 bytes) noexcept {
  constexpr u64 kTop = u64{1} << 32;
  return bytes <= kMaxStepBytes && addr < kTop && bytes <= kTop - addr;
}

/// Whether the numbers and the data fit the row of the operation.
constexpr bool fits_row(Step const& step, StepRow const& row) noexcept {
  return step.a <= row.numbers[0].most && step.b <= row.numbers[1].most && step.c <= row.numbers[2].most &&
         step.data_bytes >= row.least_data && step.data_bytes <= row.most_data;
}

/// What a step must satisfy beyond its row, before anything of it is done. One that does not is refused with
/// InvalidParameter and detail 1.
constexpr bool is_sound(Step const& step) noexcept {
  switch (static_cast<StepOp>(step.op)) {
    case StepOp::Invalid:
      return false;
    case StepOp::Read:
    case StepOp::Fill:
      return in_memory(step.a, step.b);
    case StepOp::Write:
      return in_memory(step.a, step.data_bytes);
    case StepOp::UseBuffers:
      return in_memory(step.b, kMaxStepBytes) && in_memory(step.c, sizeof(abi::CommBufferStatus));
    case StepOp::TimedMmi:
      return step.a != 0;
    case StepOp::Cpu:
      return step.data_bytes == (step.a == 0 ? 0 : sizeof(CpuState));
    case StepOp::Ipi:
      return arch::is_sendable(static_cast<u32>(step.a), static_cast<u32>(step.b));
    case StepOp::Later:
      return LaterLoads{.mask = static_cast<u32>(step.a)}.is_loadable();
    case StepOp::Communicate:
    case StepOp::Mailbox:
    case StepOp::RawMmi:
    case StepOp::SmiTo:
    case StepOp::PortIn:
    case StepOp::PortOut:
    case StepOp::ReadMsr:
    case StepOp::WriteMsr:
    case StepOp::Call:
    case StepOp::TrappedIo:
    case StepOp::Park:
      return true;
  }
  return false;
}

/// The precondition of a step: there is such an operation, it fits its row, and it is sound.
constexpr bool is_acceptable(Step const& step) noexcept {
  StepRow const* const row = row_of(step.op);
  return row != nullptr && fits_row(step, *row) && is_sound(step);
}

}  // namespace mm::steps
