// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

namespace mm::supervisor {

/// Checks that a machine with switchable defects may remove, one at a time, to show that a scenario notices.
/// Such a machine declares `static constexpr bool kHasDefects = true` and `bool defect(Check) const noexcept`; on every
/// other machine Supervisor::enforced() is the constant true and nothing is left of this in the program.
enum class Check : u32 {
  // of the supervisor
  MessageSize,  ///< header and message fit the buffer
  HeaderOnce,   ///< a communicate header is fetched once
  Foundation,   ///< what ring 0 stands on is refused whatever the policy says
  MsrPolicy,
  IoPolicy,
  InstructionPolicy,
  UserPointer,      ///< addresses in system calls are ring 3's
  FreePageOwner,    ///< FREE_PAGE leaves alone what the supervisor lent
  CommBufferQuery,  ///< MM_IS_COMM_BUFF
  RuntimeGate,      ///< no supervisor channel after ExitBootServices
  LockedUnblock,    ///< no unblock after the lock
  UnblockMmram,     ///< no unblock of MMRAM
  ContainCleanUp,   ///< the user core removes a driver that faulted
  Rendezvous,       ///< all CPUs are inside before a message is served
  Smrr,             ///< SMRR covers MMRAM
  // of the machine and of the program that starts it
  PageAttributes,    ///< supervisor pages of MMRAM are not ring 3's
  MmramLock,         ///< TSEG is closed to the normal world
  UserAccessWindow,  ///< STAC before user pages are touched
  RsmPrecheck,       ///< images with RSM are refused
  NmiResume,         ///< an NMI inside MM is not served, and ring 3 goes on
};

constexpr u32 bit_of(Check check) noexcept { return u32{1} << static_cast<u32>(check); }

}  // namespace mm::supervisor
