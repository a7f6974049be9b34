// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/base/names.hpp"
#include "core/base/types.hpp"

/// Why something ended or closed, as events tell it: each list with its names.
namespace mm::hal {

enum class LockEvent : u64 { ReadyToLock = 1, ExitBootServices = 2, PolicyFetched = 3 };
inline constexpr std::array kLockEventNames{
    Named{LockEvent::ReadyToLock, "ReadyToLock"},
    Named{LockEvent::ExitBootServices, "ExitBootServices"},
    Named{LockEvent::PolicyFetched, "PolicyFetched"},
};
/// The name of an enumerator; null for a value that is none. So are the other functions of this name.
constexpr char const* name_of(LockEvent event) noexcept { return name_in(kLockEventNames, event); }

/// Why the machine stopped for good.
enum class HaltReason : u64 {
  UserFault = 1,          ///< ring-3 fault under fail-stop: first = vector, second = RIP
  SyscallRefused = 2,     ///< first = system call, second = Status
  SupervisorFault = 3,    ///< first = vector, second = RIP
  InitFailed = 4,         ///< first = Status, second = supervisor::InitProblem, third = address or number it is about
  RendezvousTimeout = 5,  ///< first = CPUs that arrived, second = expected
  UserBudget = 6,         ///< ring 3 made too many system calls, or (simulator) ran for too many blocks
  RsmBreach = 7,          ///< the in-user flag was set at MMI entry
  PolicyInvalid = 8,      ///< first = policy::Problem, second = offset in the blob
};
inline constexpr std::array kHaltReasonNames{
    Named{HaltReason::UserFault, "UserFault"},
    Named{HaltReason::SyscallRefused, "SyscallRefused"},
    Named{HaltReason::SupervisorFault, "SupervisorFault"},
    Named{HaltReason::InitFailed, "InitFailed"},
    Named{HaltReason::RendezvousTimeout, "RendezvousTimeout"},
    Named{HaltReason::UserBudget, "UserBudget"},
    Named{HaltReason::RsmBreach, "RsmBreach"},
    Named{HaltReason::PolicyInvalid, "PolicyInvalid"},
};
constexpr char const* name_of(HaltReason reason) noexcept { return name_in(kHaltReasonNames, reason); }

/// Why ring 3 came back.
enum class UserExitKind : u64 {
  Syscall = 0,  ///< SYSCALL: rip is the instruction after it
  Return = 1,   ///< far call through selector 0x63: RAX is the result
  Fault = 2,    ///< vector, error_code, cr2 (of #PF); rip is the faulting instruction
  Budget = 3,   ///< by the simulator: more blocks of ring 3 since clean_user_state() than allowed
};
inline constexpr std::array kUserExitKindNames{
    Named{UserExitKind::Syscall, "syscall"},
    Named{UserExitKind::Return, "return"},
    Named{UserExitKind::Fault, "fault"},
    Named{UserExitKind::Budget, "budget"},
};
constexpr char const* name_of(UserExitKind kind) noexcept { return name_in(kUserExitKindNames, kind); }

}  // namespace mm::hal
