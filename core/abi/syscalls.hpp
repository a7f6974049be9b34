// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

namespace mm::abi {

/// System call numbers in RAX; arguments RDX, R8, R9; result RAX (user-core-and-communication.md 5.2).
enum class Syscall : u64 {
  RdMsr = 0x0,
  WrMsr = 0x1,
  Cli = 0x2,
  IoRead = 0x3,
  IoWrite = 0x4,
  Wbinvd = 0x5,
  Hlt = 0x6,
  SaveStateRead = 0x7,
  AllocPage = 0x10004,
  FreePage = 0x10005,
  StartApProc = 0x10006,
  QueryHob = 0x1001B,
  ErrorReportJump = 0x1001C,
  SaveStateRead2 = 0x10021,
  MmUnblocked = 0x10022,
  MmIsCommBuffer = 0x10023,
  /// Ours: RDX = UserNote kind, R8 and R9 its two values. Emits one TraceEvent and returns 0; has no other effect. Not
  /// 0 where nothing is traced: ring 3 need not send any more.
  TraceNote = 0x20000,
};

/// Kinds of TraceNote, emitted by the user core only for its own bookkeeping.
enum class UserNote : u64 {
  DriverEntered = 1,    ///< R8 = image base
  DriverReturned = 2,   ///< R8 = image base, R9 = EFI_STATUS of the entry point
  DriverWaiting = 3,    ///< R8 = image base: its depex is not satisfied after the dispatch pass
  HandlerEntered = 4,   ///< R8 = handler address
  HandlerReturned = 5,  ///< R8 = handler address, R9 = EFI_STATUS
  DriverContained = 6,  ///< R8 = image base: its handlers, protocols and notifications were removed
  DriverNeeds = 7,      ///< after DriverWaiting: R8, R9 = GUID of a protocol that is missing, or of the file it follows
};

/// EFI_MM_IO_WIDTH as IO_READ/IO_WRITE take it.
enum class IoWidth : u64 { Byte = 0, Word = 1, Dword = 2 };
constexpr u64 bytes_of(IoWidth w) noexcept { return u64{1} << static_cast<u64>(w); }

}  // namespace mm::abi
