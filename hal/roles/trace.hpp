// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

namespace mm::hal {

/// What happened. The meaning of a..f is beside each kind; unused values are 0.
enum class TraceKind : u16 {
  MmiEntry = 1,            ///< a = MMIs of this CPU so far, from 1
  CpuInitialised = 2,      ///< first MMI of this CPU is done
  Rendezvous = 3,          ///< (BSP) a = CPUs that arrived, b = CPUs expected
  CopyIn = 4,              ///< a = abi::Channel, b = bytes
  RequestDecoded = 5,      ///< a = abi::Channel, b,c = GUID (two u64), d = message bytes, e = header version 1 or 3
  RequestRefused = 6,      ///< a = abi::Channel, b = Status
  UserEnter = 7,           ///< a = abi::UserCommand, b = first argument
  UserExit = 8,            ///< a = UserExitKind, b = RAX, c = successful system calls of the entry that are no events
  Syscall = 9,             ///< a = number, b,c,d = arguments, e = RAX handed back, f = Status of the decision
  PolicyRefusal = 10,      ///< a = policy type (core/policy), b = MSR, port or index, c = access, d = width in bytes,
                           ///< e = 1: refused by the core (core/policy/foundation.hpp), whatever the policy says;
                           ///< then f = what port 0xCF8 held, for PCI configuration data
  Fault = 11,              ///< ring 3: a = vector, b = error code, c = RIP, d = CR2, e = RSP, f = abi::UserCommand
  SupervisorFault = 12,    ///< ring 0: a = vector, b = error code, c = RIP or site, d = CR2
  Contained = 13,          ///< `contain`: a = image base of the faulting image
  ApProcedure = 14,        ///< a = procedure, b = argument, c = CPU that asked
  Lock = 15,               ///< a = LockEvent
  CopyOut = 16,            ///< a = abi::Channel, b = bytes, c = FNV-1a-64 of the bytes
  MmiExit = 17,            ///< a = abi::Channel served, b = ReturnStatus, c = ReturnBufferSize (BSP only)
  Unblocked = 18,          ///< a = base, b = pages, c = Status
  UserNote = 19,           ///< a = abi::UserNote, b, c
  ImageLoaded = 20,        ///< a = base, b = bytes, c,d = file GUID, e = 1 user, 0 supervisor
  ImageRefused = 21,       ///< c,d = file GUID, b = Status, a = loader::LoadProblem
  Halt = 22,               ///< a = HaltReason, b, c, d = detail
  UserPageAllocated = 23,  ///< a = base, b = pages
  UserPageFreed = 24,      ///< a = base, b = pages
  Registers = 26,  ///< after a Fault or a refused system call: a = 0 to 3, b..f = five of RAX RBX RCX RDX RSI RDI
                   ///< RBP RSP R8..R15 RIP RFLAGS, CR2, error code
  Telemetry = 27,  ///< a record was left: a = byte of the supervisor-to-user page, b = vector, c = error code, d = RIP,
                   ///< e = CR2, f = driver load address
  MemoryMap = 25,  ///< after the first MMI: a = base, b = bytes, c = rights: 1 writable, 2 user, 4 executable
};

enum class LockEvent : u64 { ReadyToLock = 1, ExitBootServices = 2, PolicyFetched = 3 };

/// Why the machine stopped for good.
enum class HaltReason : u64 {
  UserFault = 1,          ///< ring-3 fault under fail-stop: b = vector, c = RIP
  SyscallRefused = 2,     ///< b = system call, c = Status
  SupervisorFault = 3,    ///< b = vector, c = RIP
  InitFailed = 4,         ///< b = Status, c = supervisor::InitProblem, d = address or number it is about
  RendezvousTimeout = 5,  ///< b = CPUs that arrived, c = expected
  UserBudget = 6,         ///< ring 3 made too many system calls, or (simulator) ran for too many blocks
  RsmBreach = 7,          ///< the in-user flag was set at MMI entry
  PolicyInvalid = 8,      ///< b = policy::Problem
};

/// One fixed-size event: 64 bytes, little-endian, the same in the simulator and on the debug console.
struct TraceEvent {
  TraceKind kind{};
  u16 cpu = 0;  ///< dense CpuIndex
  u32 mmi = 0;  ///< number of the MMI, from 0 (boot: the loader's events)
  u64 a = 0, b = 0, c = 0, d = 0, e = 0, f = 0;
  u64 reserved = 0;
  friend constexpr bool operator==(TraceEvent const&, TraceEvent const&) = default;
};
static_assert(sizeof(TraceEvent) == 64);

}  // namespace mm::hal
