// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "core/supervisor/checks.hpp"
#include "tools/lab/scenario/scenario.hpp"

/// The names that scenario files and transcripts use for enumerators.
namespace mm::lab {

#define MM_NAME(type, name) \
  std::pair<std::string_view, type> { #name, type::name }
inline constexpr std::array kStatusNames{MM_NAME(Status, Success),
                                         MM_NAME(Status, WarnInterruptSourcePending),
                                         MM_NAME(Status, WarnInterruptSourceQuiesced),
                                         MM_NAME(Status, LoadError),
                                         MM_NAME(Status, InvalidParameter),
                                         MM_NAME(Status, Unsupported),
                                         MM_NAME(Status, BadBufferSize),
                                         MM_NAME(Status, BufferTooSmall),
                                         MM_NAME(Status, NotReady),
                                         MM_NAME(Status, DeviceError),
                                         MM_NAME(Status, WriteProtected),
                                         MM_NAME(Status, OutOfResources),
                                         MM_NAME(Status, VolumeCorrupted),
                                         MM_NAME(Status, NotFound),
                                         MM_NAME(Status, AccessDenied),
                                         MM_NAME(Status, NoMapping),
                                         MM_NAME(Status, Timeout),
                                         MM_NAME(Status, NotStarted),
                                         MM_NAME(Status, AlreadyStarted),
                                         MM_NAME(Status, Aborted),
                                         MM_NAME(Status, IncompatibleVersion),
                                         MM_NAME(Status, SecurityViolation),
                                         MM_NAME(Status, CrcError),
                                         MM_NAME(Status, CompromisedData),
                                         MM_NAME(Status, InterruptPending),
                                         MM_NAME(Status, NotAvailableYet)};
/// As the list of events spells them (hal/roles/trace.hpp).
inline constexpr auto kEventNames = [] {
  std::array<std::pair<std::string_view, hal::TraceKind>, hal::kEvents.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) {
    names[i] = {hal::kEvents[i].name, hal::kEvents[i].kind};
  }
  return names;
}();
inline constexpr auto kHaltNames = [] {
  std::array<std::pair<std::string_view, hal::HaltReason>, hal::kHaltReasonNames.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) {
    names[i] = {hal::kHaltReasonNames[i].name, hal::kHaltReasonNames[i].value};
  }
  return names;
}();
inline constexpr std::array kCheckNames{MM_NAME(supervisor::Check, MessageSize),
                                        MM_NAME(supervisor::Check, MsrPolicy),
                                        MM_NAME(supervisor::Check, Foundation),
                                        MM_NAME(supervisor::Check, IoPolicy),
                                        MM_NAME(supervisor::Check, InstructionPolicy),
                                        MM_NAME(supervisor::Check, UserPointer),
                                        MM_NAME(supervisor::Check, FreePageOwner),
                                        MM_NAME(supervisor::Check, CommBufferQuery),
                                        MM_NAME(supervisor::Check, RuntimeGate),
                                        MM_NAME(supervisor::Check, LockedUnblock),
                                        MM_NAME(supervisor::Check, UnblockMmram),
                                        MM_NAME(supervisor::Check, ContainCleanUp),
                                        MM_NAME(supervisor::Check, Rendezvous),
                                        MM_NAME(supervisor::Check, PageAttributes),
                                        MM_NAME(supervisor::Check, MmramLock),
                                        MM_NAME(supervisor::Check, UserAccessWindow),
                                        MM_NAME(supervisor::Check, RsmPrecheck),
                                        MM_NAME(supervisor::Check, HeaderOnce),
                                        MM_NAME(supervisor::Check, Smrr),
                                        MM_NAME(supervisor::Check, NmiResume)};
/// The names stand in the order of steps::CpuRegister.
inline constexpr std::array kRegisterNames{std::pair{std::string_view{"rax"}, steps::CpuRegister::Rax},
                                           std::pair{std::string_view{"rcx"}, steps::CpuRegister::Rcx},
                                           std::pair{std::string_view{"rdx"}, steps::CpuRegister::Rdx},
                                           std::pair{std::string_view{"rbx"}, steps::CpuRegister::Rbx},
                                           std::pair{std::string_view{"rsp"}, steps::CpuRegister::Rsp},
                                           std::pair{std::string_view{"rbp"}, steps::CpuRegister::Rbp},
                                           std::pair{std::string_view{"rsi"}, steps::CpuRegister::Rsi},
                                           std::pair{std::string_view{"rdi"}, steps::CpuRegister::Rdi},
                                           std::pair{std::string_view{"r8"}, steps::CpuRegister::R8},
                                           std::pair{std::string_view{"r9"}, steps::CpuRegister::R9},
                                           std::pair{std::string_view{"r10"}, steps::CpuRegister::R10},
                                           std::pair{std::string_view{"r11"}, steps::CpuRegister::R11},
                                           std::pair{std::string_view{"r12"}, steps::CpuRegister::R12},
                                           std::pair{std::string_view{"r13"}, steps::CpuRegister::R13},
                                           std::pair{std::string_view{"r14"}, steps::CpuRegister::R14},
                                           std::pair{std::string_view{"r15"}, steps::CpuRegister::R15},
                                           std::pair{std::string_view{"rip"}, steps::CpuRegister::Rip},
                                           std::pair{std::string_view{"rflags"}, steps::CpuRegister::Rflags},
                                           std::pair{std::string_view{"cr0"}, steps::CpuRegister::Cr0},
                                           std::pair{std::string_view{"cr2"}, steps::CpuRegister::Cr2},
                                           std::pair{std::string_view{"cr3"}, steps::CpuRegister::Cr3},
                                           std::pair{std::string_view{"cr4"}, steps::CpuRegister::Cr4},
                                           std::pair{std::string_view{"efer"}, steps::CpuRegister::Efer},
                                           std::pair{std::string_view{"es"}, steps::CpuRegister::Es},
                                           std::pair{std::string_view{"cs"}, steps::CpuRegister::Cs},
                                           std::pair{std::string_view{"ss"}, steps::CpuRegister::Ss},
                                           std::pair{std::string_view{"ds"}, steps::CpuRegister::Ds},
                                           std::pair{std::string_view{"fs"}, steps::CpuRegister::Fs},
                                           std::pair{std::string_view{"gs"}, steps::CpuRegister::Gs},
                                           std::pair{std::string_view{"fs_base"}, steps::CpuRegister::FsBase},
                                           std::pair{std::string_view{"gs_base"}, steps::CpuRegister::GsBase}};
#undef MM_NAME

/// "SUCCESS", "NOT_FOUND", ...; hexadecimal when unknown.
std::string efi_status_name(u64 status);

/// Name of a communication::CommunicateError; empty when it is none.
std::string_view communicate_error_name(u64 error);

}  // namespace mm::lab
