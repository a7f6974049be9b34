// SPDX-License-Identifier: BSD-2-Clause-Patent
// Attacker: does in ring 3 what the message says. Message, 24 bytes or more: u8 command at 0, u64 argument at 8, u64
// second argument at 16; Escape has its number in the u8 at 1. Reply: the same bytes with the u64 result at 0.

#include "scenarios/drivers/sdk/mm_driver.hpp"

extern "C" {
mm::u64 attack_in(mm::u64 port) noexcept;
void attack_out(mm::u64 port) noexcept;
mm::u64 attack_rdmsr(mm::u64 msr) noexcept;
void attack_cli() noexcept;
void attack_hlt() noexcept;
void attack_loop() noexcept;
void attack_stack() noexcept;
/// One of the routines of attacker_escapes.nasm.
mm::u64 attack_escape(mm::u64 number, mm::u64 a, mm::u64 b) noexcept;
}

namespace {

using mm::u64;
using mm::abi::Syscall;
using mm::driver::syscall;

constexpr mm::Guid kHandler = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0010", 36);
constexpr u64 kMessageBytes = 24;

enum class Command : mm::u8 {
  Read = 0,     ///< reply = u64 at the argument
  Write = 1,    ///< writes the second argument there
  Execute = 2,  ///< calls the argument
  In = 3,       ///< IN AL from the port
  Out = 4,      ///< OUT of 0 to the port
  RdMsr = 5,    ///< RDMSR
  Cli = 6,
  Hlt = 7,
  SyscallRdMsr = 8,
  SyscallWrMsr = 9,     ///< value = second argument
  SyscallIoRead = 10,   ///< width: dword, or the second argument minus 1 when it is not 0
  SyscallIoWrite = 11,  ///< one byte, value = second argument
  SyscallUnknown = 12,  ///< number = argument, or 0x7777 when that is 0
  Loop = 13,
  StackOverflow = 14,
  NullDereference = 15,
  Pages = 16,         ///< allocates `argument` pages (0: 1), fills and frees them; reply = their address
  Unblocked = 17,     ///< MM_UNBLOCKED(argument, second)
  IsCommBuffer = 18,  ///< MM_IS_COMM_BUFF(argument, second)
  FreeForeign = 19,   ///< FREE_PAGE of one page at the argument
  FreeBuffer = 20,    ///< FREE_PAGE of the page that holds this message
  Escape = 21,        ///< attack_escape(number, argument, second)
  OnHeap = 22,        ///< calls a page of its own that holds a RET
  OnProcessor = 23,   ///< Escape on CPU 1; reply = status of MmStartupThisAp, then what it gave
};

mm::driver::MmSystemTable* g_mmst = nullptr;
/// What the procedure on another CPU does.
struct Task {
  u64 number = 0, a = 0, b = 0;
  u64 result = 0;
};
Task g_task;

void MM_EFIAPI escape_on_ap(void* argument) {
  auto* const task = static_cast<Task*>(argument);
  task->result = attack_escape(task->number, task->a, task->b);
}

u64 escape_on_processor(void* message) noexcept {
  g_task = {mm::driver::get<mm::u8>(message, 1), mm::driver::get<u64>(message, 8), mm::driver::get<u64>(message, 16)};
  auto const status = g_mmst->startup_this_ap(escape_on_ap, 1, &g_task);
  mm::driver::put(message, 8, g_task.result);
  return static_cast<u64>(status);
}

u64 allocate_and_free(u64 pages) noexcept {
  u64 const count = pages == 0 ? 1 : pages;
  u64 const base = syscall(Syscall::AllocPage, 0, 6, count);
  if (mm::is_error(mm::Status{base}) || base == 0) {
    return base;
  }
  __builtin_memset(mm::driver::at<void>(base), 0x5A, count * mm::kPageSize);
  syscall(Syscall::FreePage, base, count);
  return base;
}

u64 call_heap() noexcept {
  u64 const base = syscall(Syscall::AllocPage, 0, 6, 1);
  *mm::driver::at<mm::u8>(base) = 0xC3;
  mm::driver::at<void MM_EFIAPI()>(base)();
  return base;
}

u64 touch(Command command, u64 a, u64 b) noexcept {
  switch (command) {
    case Command::Read:
      return *mm::driver::at<u64 const volatile>(a);
    case Command::Write:
      *mm::driver::at<u64 volatile>(a) = b;
      return 0;
    case Command::Execute:
      mm::driver::at<void MM_EFIAPI()>(a)();
      return 0;
    case Command::NullDereference:
      return *mm::driver::at<u64 const volatile>(a & 0);
    case Command::Loop:
      attack_loop();
      return 0;
    case Command::StackOverflow:
      attack_stack();
      return 0;
    case Command::OnHeap:
      return call_heap();
    default:
      return static_cast<u64>(mm::Status::Unsupported);
  }
}

u64 privileged(Command command, u64 a) noexcept {
  switch (command) {
    case Command::In:
      return attack_in(a);
    case Command::Out:
      attack_out(a);
      return 0;
    case Command::RdMsr:
      return attack_rdmsr(a);
    case Command::Cli:
      attack_cli();
      return 0;
    default:
      attack_hlt();
      return 0;
  }
}

u64 by_syscall(Command command, u64 a, u64 b) noexcept {
  switch (command) {
    case Command::SyscallRdMsr:
      return syscall(Syscall::RdMsr, a);
    case Command::SyscallWrMsr:
      return syscall(Syscall::WrMsr, a, b);
    case Command::SyscallIoRead:
      return syscall(Syscall::IoRead, a, b == 0 ? 2 : b - 1);
    case Command::SyscallIoWrite:
      return syscall(Syscall::IoWrite, a, 0, b);
    case Command::SyscallUnknown:
      return mm_driver_syscall(a == 0 ? 0x7777 : a, b, 0, 0);
    case Command::Pages:
      return allocate_and_free(a);
    case Command::Unblocked:
      return syscall(Syscall::MmUnblocked, a, b);
    case Command::IsCommBuffer:
      return syscall(Syscall::MmIsCommBuffer, a, b);
    default:
      return syscall(Syscall::FreePage, a, 1);
  }
}

u64 attack(Command command, u64 a, u64 b) noexcept {
  if (command >= Command::In && command <= Command::Hlt) {
    return privileged(command, a);
  }
  bool const call = (command >= Command::SyscallRdMsr && command <= Command::SyscallUnknown) ||
                    (command >= Command::Pages && command <= Command::FreeForeign);
  return call ? by_syscall(command, a, b) : touch(command, a, b);
}

u64 perform(void* message) noexcept {
  auto const command = static_cast<Command>(mm::driver::get<mm::u8>(message));
  u64 const a = mm::driver::get<u64>(message, 8);
  u64 const b = mm::driver::get<u64>(message, 16);
  switch (command) {
    case Command::FreeBuffer:
      return syscall(Syscall::FreePage, mm::align_down(mm::user::address_of(message), mm::kPageSize), 1);
    case Command::Escape:
      return attack_escape(mm::driver::get<mm::u8>(message, 1), a, b);
    case Command::OnProcessor:
      return escape_on_processor(message);
    default:
      return attack(command, a, b);
  }
}

mm::Status MM_EFIAPI on_message(mm::driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < kMessageBytes) {
    return mm::Status::InvalidParameter;
  }
  mm::driver::put(buffer, 0, perform(buffer));
  return mm::Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  g_mmst = mmst;
  mm::driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
