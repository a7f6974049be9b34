// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/comm.hpp"
#include "core/base/types.hpp"

/// Limits and small records that several parts of the supervisor share.
namespace mm::supervisor {

inline constexpr u64 kRendezvousUs = 1'000'000;
inline constexpr u64 kApProcedureUs = 10'000'000;
inline constexpr u32 kMaxImages = 1280;  ///< ring-3 images whose faults are told by name
inline constexpr u64 kHomeSpace = 0x20;
inline constexpr u64 kVectorMachineCheck = 18;
/// Vectors of a UserFaultRecord beyond those of the CPU.
inline constexpr u64 kVectorRefusedSyscall = 0x100;  ///< error_code = system call, cr2 = Status
inline constexpr u64 kVectorBudget = 0x101;  ///< more system calls than kSyscallsPerEntry; simulator: more blocks
/// System calls of one entry of ring 3. A driver that polls a device by them for longer does not come back: a second of
/// polling on a fast machine, and an SMI that lasts so long has already stopped the operating system.
inline constexpr u32 kSyscallsPerEntry = 1u << 20;
/// So many of them are events; the rest of an entry is counted in its UserExit.
inline constexpr u32 kToldSyscalls = 1u << 15;

/// Of one AP. Faulted: the procedure did not return, its fault was contained and is in the AP's slot.
enum class Mailbox : u32 { Empty = 0, Pending = 1, Done = 2, Faulted = 3 };

/// State of one CPU. `in_user`, `in_pen` and `mailbox` are words that CPUs share (hal::Cpu::load_shared()); what stands
/// in `procedure`, `argument`, `caller` and `fault` is handed over by the mailbox.
struct CpuSlot {
  u32 syscalls = 0;  ///< of the entry of ring 3 that is under way
  u32 mmis = 0;
  u32 in_user = 0;  ///< set around ring 3; still set at entry: RSM was executed in ring 3
  u32 initialised = 0;
  u32 in_pen = 0;
  u32 faults = 0;   ///< of ring 0; a second one stops at once
  u32 mailbox = 0;  ///< Mailbox
  u32 apic_id = 0;
  u64 procedure = 0;
  u64 argument = 0;
  u64 caller = 0;
  u64 smbase = 0;
  abi::UserFaultRecord fault;  ///< of the last contained fault
};

/// A ring-3 image; entry point and file GUID stay in its module HOB.
struct UserImage {
  Range range;
  u64 hob = 0;
};

/// A command for the user core and its two arguments.
struct Demotion {
  abi::UserCommand command{};
  u64 first = 0;
  u64 second = 0;
};

/// Result of a system call: a `status` other than Success refuses it, ring 3 never sees `rax` then.
struct SyscallResult {
  u64 rax = 0;
  Status status = Status::Success;
  bool contained = false;  ///< what refused it is a fault that the caller's slot has already
};
constexpr SyscallResult refuse(Status s) noexcept { return {0, s, false}; }
constexpr SyscallResult answer(u64 rax) noexcept { return {rax, Status::Success, false}; }
constexpr SyscallResult answer(Status s) noexcept { return {static_cast<u64>(s), Status::Success, false}; }

/// FNV-1a-64, continued from `hash`.
inline constexpr u64 kFnvBasis = 0xCBF2'9CE4'8422'2325;
constexpr u64 fnv1a(std::byte value, u64 hash) noexcept {
  return (hash ^ std::to_integer<u64>(value)) * 0x100'0000'01B3;
}

}  // namespace mm::supervisor
