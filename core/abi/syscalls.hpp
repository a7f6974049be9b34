// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <bit>
#include <tuple>
#include <type_traits>

#include "core/base/names.hpp"
#include "core/base/types.hpp"

/// The system calls of ring 3: one list, from which dispatch, names and pages are made. A new one is an enumerator, a
/// struct and its place in `Calls`, all in this file, and its handler in core/supervisor/syscalls.hpp.
namespace mm::abi {

/// System call numbers in RAX; arguments RDX, R8, R9; result RAX (core/abi/ABI.md 1).
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
  HandlerRegistered = 8,  ///< R8, R9 = GUID that an MMI handler was registered for; zero: a root handler
  HandlerAt = 9,          ///< after HandlerRegistered: R8 = handler address, R9 = base of the image that owns it
  DriverDefect = 10,      ///< R8 = DriverDefect (heap_guard.hpp), R9 = address, offset or size
};
inline constexpr std::array kUserNoteNames{
    Named{UserNote::DriverEntered, "DriverEntered"},
    Named{UserNote::DriverReturned, "DriverReturned"},
    Named{UserNote::DriverWaiting, "DriverWaiting"},
    Named{UserNote::HandlerEntered, "HandlerEntered"},
    Named{UserNote::HandlerReturned, "HandlerReturned"},
    Named{UserNote::DriverContained, "DriverContained"},
    Named{UserNote::DriverNeeds, "DriverNeeds"},
    Named{UserNote::HandlerRegistered, "HandlerRegistered"},
    Named{UserNote::HandlerAt, "HandlerAt"},
    Named{UserNote::DriverDefect, "DriverDefect"},
};
/// The name of a note; null for a value that is none.
constexpr char const* name_of(UserNote note) noexcept { return name_in(kUserNoteNames, note); }

/// EFI_MM_IO_WIDTH as IO_READ/IO_WRITE take it.
enum class IoWidth : u64 { Byte = 0, Word = 1, Dword = 2 };
constexpr u64 bytes_of(IoWidth w) noexcept { return u64{1} << static_cast<u64>(w); }

/// What decides whether ring 3 may have it.
enum class Gate : u8 {
  None,                ///< it tells or does nothing that ring 3 could not have
  Policy,              ///< what ring 0 stands on, then the secure policy
  Ownership,           ///< the pages that it names are ring 3's
  PolicyAndOwnership,  ///< both
};
/// Which CPU may ask. Another is refused with AccessDenied before anything else is looked at.
enum class Caller : u8 { AnyCpu, Bsp };

/// What is known of a system call before its arguments are.
struct SyscallRow {
  Syscall number;
  char const* name;                      ///< as the references spell it
  std::array<char const*, 3> arguments;  ///< RDX, R8, R9; null where there is none
  Gate gate;
  Caller caller;
};

/// The arguments of each system call, as ring 3 gave them: nothing here was checked.
namespace call {

/// RAX = the MSR.
struct RdMsr {
  static constexpr SyscallRow kRow{Syscall::RdMsr, "RDMSR", {"msr"}, Gate::Policy, Caller::AnyCpu};
  u64 msr = 0;
};
struct WrMsr {
  static constexpr SyscallRow kRow{Syscall::WrMsr, "WRMSR", {"msr", "value"}, Gate::Policy, Caller::AnyCpu};
  u64 msr = 0;
  u64 value = 0;
};
struct Cli {
  static constexpr SyscallRow kRow{Syscall::Cli, "CLI", {}, Gate::Policy, Caller::AnyCpu};
};
/// RAX = what was read.
struct IoRead {
  static constexpr SyscallRow kRow{Syscall::IoRead, "IO_READ", {"port", "width"}, Gate::Policy, Caller::AnyCpu};
  u64 port = 0;
  IoWidth width{};
};
struct IoWrite {
  static constexpr SyscallRow kRow{
      Syscall::IoWrite, "IO_WRITE", {"port", "width", "value"}, Gate::Policy, Caller::AnyCpu};
  u64 port = 0;
  IoWidth width{};
  u64 value = 0;
};
struct Wbinvd {
  static constexpr SyscallRow kRow{Syscall::Wbinvd, "WBINVD", {}, Gate::Policy, Caller::AnyCpu};
};
struct Hlt {
  static constexpr SyscallRow kRow{Syscall::Hlt, "HLT", {}, Gate::Policy, Caller::AnyCpu};
};
/// First of the two that read a register of a CPU's save state: names it.
struct SaveStateRead {
  static constexpr SyscallRow kRow{
      Syscall::SaveStateRead, "SVST_READ", {"token", "register", "cpu"}, Gate::None, Caller::AnyCpu};
  u64 token = 0;
  u64 reg = 0;
  u64 cpu = 0;
};
/// RAX = address, 0 when there is no memory left.
struct AllocPage {
  static constexpr SyscallRow kRow{
      Syscall::AllocPage, "ALOC_PAGE", {"allocate_type", "memory_type", "pages"}, Gate::None, Caller::Bsp};
  u64 allocate_type = 0;
  u64 memory_type = 0;
  u64 pages = 0;
};
struct FreePage {
  static constexpr SyscallRow kRow{Syscall::FreePage, "FREE_PAGE", {"address", "pages"}, Gate::Ownership, Caller::Bsp};
  UserAddr address{};
  u64 pages = 0;
};
/// Returns when the procedure has returned.
struct StartApProc {
  static constexpr SyscallRow kRow{
      Syscall::StartApProc, "START_AP_PROC", {"procedure", "cpu", "argument"}, Gate::Ownership, Caller::Bsp};
  UserAddr procedure{};
  u64 cpu = 0;
  UserAddr argument{};  ///< 0: none
};
/// RAX = ring 3's copy of the HOB list.
struct QueryHob {
  static constexpr SyscallRow kRow{Syscall::QueryHob, "QRY_HOB", {}, Gate::None, Caller::AnyCpu};
};
struct ErrorReportJump {
  static constexpr SyscallRow kRow{
      Syscall::ErrorReportJump, "ERR_RPT_JMP", {"address"}, Gate::Ownership, Caller::AnyCpu};
  UserAddr address{};
};
/// Second of the two: reads it. RAX = EFI_STATUS.
struct SaveStateRead2 {
  static constexpr SyscallRow kRow{
      Syscall::SaveStateRead2, "SVST_READ_2", {"token", "width", "buffer"}, Gate::PolicyAndOwnership, Caller::AnyCpu};
  u64 token = 0;
  u64 width = 0;
  UserAddr buffer{};
};
/// RAX = 1 when the range is in one unblocked region of ring 3, otherwise 0.
struct MmUnblocked {
  static constexpr SyscallRow kRow{
      Syscall::MmUnblocked, "MM_UNBLOCKED", {"address", "bytes"}, Gate::None, Caller::AnyCpu};
  UserAddr address{};
  u64 bytes = 0;
};
/// RAX = 1 when the range is in ring 3's copy of the user buffer, otherwise SecurityViolation.
struct MmIsCommBuffer {
  static constexpr SyscallRow kRow{
      Syscall::MmIsCommBuffer, "MM_IS_COMM_BUFF", {"address", "bytes"}, Gate::None, Caller::AnyCpu};
  UserAddr address{};
  u64 bytes = 0;
};
struct TraceNote {
  static constexpr SyscallRow kRow{
      Syscall::TraceNote, "TRACE_NOTE", {"note", "first", "second"}, Gate::None, Caller::AnyCpu};
  UserNote note{};
  u64 first = 0;
  u64 second = 0;
};

}  // namespace call

/// Every system call.
using Calls =
    std::tuple<call::RdMsr, call::WrMsr, call::Cli, call::IoRead, call::IoWrite, call::Wbinvd, call::Hlt,
               call::SaveStateRead, call::AllocPage, call::FreePage, call::StartApProc, call::QueryHob,
               call::ErrorReportJump, call::SaveStateRead2, call::MmUnblocked, call::MmIsCommBuffer, call::TraceNote>;

namespace detail {
template <typename... C>
constexpr std::array<SyscallRow, sizeof...(C)> rows_of(std::tuple<C...> const*) noexcept {
  return {C::kRow...};
}
template <typename C>
constexpr u64 words_of() noexcept {
  u64 words = 0;
  for (char const* const name : C::kRow.arguments) {
    words += name != nullptr ? 1 : 0;
  }
  return words;
}
/// Whether each struct has one word for each argument that has a name.
template <typename... C>
constexpr bool are_views(std::tuple<C...> const*) noexcept {
  return ((std::is_empty_v<C> ? words_of<C>() == 0 : sizeof(C) == 8 * words_of<C>()) && ...);
}
static_assert(are_views(static_cast<Calls const*>(nullptr)));
}  // namespace detail

/// The same as rows, ascending.
inline constexpr auto kSyscalls = detail::rows_of(static_cast<Calls const*>(nullptr));
static_assert([] {
  for (std::size_t i = 1; i < kSyscalls.size(); ++i) {
    if (kSyscalls[i].number <= kSyscalls[i - 1].number) {
      return false;
    }
  }
  return true;
}());

/// The row of a number; null when it is no system call.
constexpr SyscallRow const* find_syscall(u64 number) noexcept {
  for (SyscallRow const& row : kSyscalls) {
    if (static_cast<u64>(row.number) == number) {
      return &row;
    }
  }
  return nullptr;
}
/// The name of a system call; null for a number that is none.
constexpr char const* name_of(Syscall number) noexcept {
  SyscallRow const* const row = find_syscall(static_cast<u64>(number));
  return row != nullptr ? row->name : nullptr;
}

/// RDX, R8 and R9 of a system call.
using SyscallWords = std::array<u64, 3>;

/// The words as the arguments of call C.
template <typename C>
constexpr C arguments_of(SyscallWords const& words) noexcept {
  if constexpr (std::is_empty_v<C>) {
    return {};
  } else {
    std::array<u64, sizeof(C) / 8> own{};
    for (std::size_t i = 0; i < own.size(); ++i) {
      own[i] = words[i];
    }
    return std::bit_cast<C>(own);
  }
}

}  // namespace mm::abi
