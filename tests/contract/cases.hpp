// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/abi/platform.hpp"
#include "core/arch/descriptors.hpp"
#include "hal/roles/machine.hpp"

/// What every machine must do: one source for the fake, the simulator and the bare machine under QEMU, so freestanding.
///
/// A harness has `cpu()`, `machine()`, `memory()`: two writable supervisor pages, `good_msr()`: an MSR that can be
/// written, and `bad_msr()`: one that the CPU refuses, or 0 where it refuses none. With `kHasRing3` also `user_code()`:
/// a page that ring 3 executes, and `user_data()`: a page that it writes and does not execute.
namespace mm::contract {

/// What a case found; the first thing that does not hold.
class Report {
 public:
  void expect(bool holds, char const* what) noexcept {
    if (!holds && failed_ == nullptr) {
      failed_ = what;
    }
  }
  char const* failed() const noexcept { return failed_; }

 private:
  char const* failed_ = nullptr;
};

template <typename H>
struct Case {
  char const* name;
  void (*run)(H&, Report&) noexcept;
};

// --- memory, registers, time

template <typename H>
void memory_keeps_what_is_written(H& h, Report& r) noexcept {
  auto& cpu = h.cpu();
  PhysAddr const at = h.memory() + (kPageSize - 3);
  hal::write_object(cpu, at, u64{0x1122334455667788});
  r.expect(hal::read_object<u64>(cpu, at) == 0x1122334455667788, "a word across two pages");
  cpu.copy(h.memory(), at, 8);
  r.expect(hal::read_object<u64>(cpu, h.memory()) == 0x1122334455667788, "copy of eight bytes");
  cpu.zero(at, 4);
  r.expect(hal::read_object<u64>(cpu, at) == 0x1122334400000000, "zero of four bytes");
}

template <typename H>
void odd_lengths(H& h, Report& r) noexcept {
  auto& cpu = h.cpu();
  std::array<std::byte, 64> bytes{};
  for (u64 i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i + 1);
  }
  for (u64 n = 0; n <= 40; ++n) {
    std::array<std::byte, 64> got{};
    cpu.zero(h.memory(), 128);
    cpu.write(h.memory() + 1, std::span(bytes).first(n));
    cpu.copy(h.memory() + 65, h.memory() + 1, n);
    cpu.read(h.memory() + 65, std::span(got).first(n + 1));
    bool same = got[n] == std::byte{0};
    for (u64 i = 0; i < n; ++i) {
      same = same && got[i] == bytes[i];
    }
    r.expect(same, "write, copy and read of 0 to 40 bytes, and nothing behind them");
  }
}

template <typename H>
void empty_copies_touch_nothing(H& h, Report& r) noexcept {
  auto& cpu = h.cpu();
  hal::write_object(cpu, h.memory(), u64{7});
  cpu.copy(h.memory(), h.memory() + kPageSize, 0);
  cpu.zero(h.memory(), 0);
  cpu.write(h.memory(), {});
  r.expect(hal::read_object<u64>(cpu, h.memory()) == 7, "copy, zero and write of no bytes");
}

template <typename H>
void msr_faults_are_statuses(H& h, Report& r) noexcept {
  auto& cpu = h.cpu();
  auto const before = cpu.read_msr(h.good_msr());
  r.expect(before.has_value(), "RDMSR of an MSR that is there");
  r.expect(cpu.write_msr(h.good_msr(), 0x55).has_value(), "WRMSR of an MSR that is there");
  r.expect(cpu.read_msr(h.good_msr()).value_or(0) == 0x55, "the MSR keeps what was written");
  r.expect(cpu.write_msr(h.good_msr(), before.value_or(0)).has_value(), "WRMSR of the old value");
  if (h.bad_msr() != 0) {
    auto const read = cpu.read_msr(h.bad_msr());
    r.expect(!read && read.error() == Status::Unsupported, "RDMSR that the CPU refuses is Unsupported");
    auto const written = cpu.write_msr(h.bad_msr(), ~u64{0});
    r.expect(!written && written.error() == Status::Unsupported, "WRMSR that the CPU refuses is Unsupported");
  }
}

template <typename H>
void time_goes_on(H& h, Report& r) noexcept {
  u64 const start = h.cpu().now_us();
  u64 last = start;
  for (u32 i = 0; i < 10'000'000 && last == start; ++i) {
    h.cpu().pause();
    u64 const now = h.cpu().now_us();
    r.expect(now >= last, "time does not go back");
    last = now;
  }
  r.expect(last > start, "time advances while a CPU pauses");
}

template <typename H>
void one_processor_is_the_bsp(H& h, Report& r) noexcept {
  r.expect(h.cpu().is_bsp(), "CPU 0 is the BSP");
  r.expect(h.cpu().apic_id() == 0, "its APIC ID is 0");
}

template <typename H>
void shared_words(H& h, Report& r) noexcept {
  auto& cpu = h.cpu();
  u32 word = 7;
  r.expect(cpu.load_shared(word) == 7, "a shared word is loaded as it is");
  cpu.store_shared(word, 0xFFFF'FFFE);
  r.expect(word == 0xFFFF'FFFE && cpu.load_shared(word) == word, "and stored whole");
  cpu.increment_shared(word);
  r.expect(cpu.load_shared(word) == 0xFFFF'FFFF, "an increment adds one");
  cpu.increment_shared(word);
  r.expect(cpu.load_shared(word) == 0, "and wraps");
}

template <typename H>
void windows_and_flushes_leave_no_trace(H& h, Report& r) noexcept {
  auto& cpu = h.cpu();
  u64 const cr3 = cpu.read_cr3();
  hal::write_object(cpu, h.memory(), u64{3});
  {
    hal::WriteWindow const window(cpu);
    hal::UserAccess const access(cpu);
    hal::write_object(cpu, h.memory(), u64{4});
  }
  cpu.flush_tlb();
  cpu.wbinvd();
  r.expect(cpu.read_cr3() == cr3, "the page tables are the same");
  r.expect(hal::read_object<u64>(cpu, h.memory()) == 4, "a supervisor page is written in windows as without");
}

// --- ring 3

inline constexpr u64 kInterruptAndIopl = 0x3200;

/// Puts code where ring 3 executes it and gives a context that starts there. Once a case.
template <typename H, std::size_t N>
hal::UserContext user_program(H& h, std::array<u8, N> const& code) noexcept {
  auto& cpu = h.cpu();
  hal::WriteWindow const window(cpu);
  hal::UserAccess const access(cpu);
  cpu.write(h.user_code(), std::as_bytes(std::span(code)));
  hal::UserContext user;
  user.rip = raw(h.user_code());
  user.rsp = raw(h.user_data()) + kPageSize - 0x100;
  return user;
}

template <typename H>
void system_call_keeps_registers(H& h, Report& r) noexcept {
  hal::UserContext user = user_program(h, std::array<u8, 2>{0x0F, 0x05});  // syscall
  u64* const registers[] = {&user.rax, &user.rdx, &user.rbx, &user.rbp, &user.rsi, &user.rdi, &user.r8,
                            &user.r9,  &user.r10, &user.r12, &user.r13, &user.r14, &user.r15};
  u64 value = 0x1111'0000'2222'0000;
  for (u64* const one : registers) {
    *one = ++value;
  }
  u64 const rsp = user.rsp;
  auto const exit = h.cpu().run_user(user);
  r.expect(exit.kind == hal::UserExitKind::Syscall, "SYSCALL is a system call");
  r.expect(exit.vector == 0 && exit.error_code == 0 && exit.cr2 == 0, "an exit that is no fault has no vector");
  value = 0x1111'0000'2222'0000;
  for (u64* const one : registers) {
    r.expect(*one == ++value, "a register changed between entry and SYSCALL");
  }
  r.expect(user.rsp == rsp, "RSP at SYSCALL");
  r.expect(user.rip == raw(h.user_code()) + 2 && user.rcx == user.rip, "RIP and RCX are behind SYSCALL");
  r.expect(user.r11 == user.rflags, "R11 is RFLAGS");
}

template <typename H>
void system_call_is_answered(H& h, Report& r) noexcept {
  // syscall; mov rbx, rax; syscall
  hal::UserContext user = user_program(h, std::array<u8, 7>{0x0F, 0x05, 0x48, 0x89, 0xC3, 0x0F, 0x05});
  h.cpu().run_user(user);
  user.rax = 0x8000'0000'0000'0003;
  auto const exit = h.cpu().run_user(user);
  r.expect(exit.kind == hal::UserExitKind::Syscall, "the second system call");
  r.expect(user.rbx == 0x8000'0000'0000'0003, "ring 3 sees the RAX that ring 0 wrote");
  r.expect(user.rip == raw(h.user_code()) + 7, "RIP is behind the second SYSCALL");
}

template <typename H>
void vector_registers_survive_a_system_call(H& h, Report& r) noexcept {
  // movq xmm0, rax; syscall; movq rbx, xmm0; syscall
  hal::UserContext user = user_program(
      h, std::array<u8, 14>{0x66, 0x48, 0x0F, 0x6E, 0xC0, 0x0F, 0x05, 0x66, 0x48, 0x0F, 0x7E, 0xC3, 0x0F, 0x05});
  user.rax = 0x0123'4567'89AB'CDEF;
  h.cpu().run_user(user);
  user.rax = 0;
  h.cpu().run_user(user);
  r.expect(user.rbx == 0x0123'4567'89AB'CDEF, "XMM0 across a system call");
}

template <typename H>
void far_call_returns(H& h, Report& r) noexcept {
  // push r15; call far [rsp]
  hal::UserContext user = user_program(h, std::array<u8, 5>{0x41, 0x57, 0xFF, 0x1C, 0x24});
  user.rax = 0x8000'0000'0000'000E;
  user.r15 = arch::kUserReturnGate;
  auto const exit = h.cpu().run_user(user);
  r.expect(exit.kind == hal::UserExitKind::Return, "the call gate ends ring 3");
  r.expect(user.rax == 0x8000'0000'0000'000E, "RAX is the result");
}

template <typename H>
void ring3_gets_no_interrupt_flag(H& h, Report& r) noexcept {
  // pushfq; pop rbx; syscall
  hal::UserContext user = user_program(h, std::array<u8, 4>{0x9C, 0x5B, 0x0F, 0x05});
  user.rflags = 2 | kInterruptAndIopl;
  h.cpu().run_user(user);
  r.expect((user.rbx & kInterruptAndIopl) == 0, "IF and IOPL are clear in ring 3 whatever the context says");
  r.expect((user.rbx & 2) != 0, "bit 1 of RFLAGS is set");
}

/// One instruction that faults.
template <typename H, std::size_t N>
void faults(H& h, Report& r, std::array<u8, N> const& code, u64 rax, hal::UserExit const& want,
            char const* what) noexcept {
  hal::UserContext user = user_program(h, code);
  user.rax = rax;
  auto const exit = h.cpu().run_user(user);
  r.expect(exit.kind == hal::UserExitKind::Fault && exit.vector == want.vector, what);
  r.expect(exit.error_code == want.error_code, "error code of the fault");
  r.expect(exit.cr2 == want.cr2, "CR2 of the fault, 0 when it is no page fault");
  r.expect(user.rip == raw(h.user_code()) && user.rax == rax, "the context is that of the faulting instruction");
}
constexpr hal::UserExit fault(u64 vector, u64 error = 0, u64 cr2 = 0) noexcept {
  return {hal::UserExitKind::Fault, vector, error, cr2};
}

template <typename H>
void read_of_supervisor_memory_faults(H& h, Report& r) noexcept {
  u64 const at = raw(h.memory()) + 8;  // mov rax, [rax]
  faults(h, r, std::array<u8, 3>{0x48, 0x8B, 0x00}, at, fault(14, 5, at), "ring 3 reads a supervisor page");
}
template <typename H>
void write_of_code_faults(H& h, Report& r) noexcept {
  u64 const at = raw(h.user_code()) + 0x40;  // mov [rax], rax
  faults(h, r, std::array<u8, 3>{0x48, 0x89, 0x00}, at, fault(14, 7, at), "ring 3 writes its code");
}
template <typename H>
void execution_of_data_faults(H& h, Report& r) noexcept {
  hal::UserContext user = user_program(h, std::array<u8, 2>{0xFF, 0xE0});  // jmp rax
  user.rax = raw(h.user_data()) + 0x10;
  auto const exit = h.cpu().run_user(user);
  r.expect(exit.kind == hal::UserExitKind::Fault && exit.vector == 14, "ring 3 executes data");
  r.expect(exit.error_code == 0x15 && exit.cr2 == user.rax, "error code and CR2 of the fetch");
  r.expect(user.rip == user.rax, "RIP is the address of the fetch");
}
template <typename H>
void halt_is_privileged(H& h, Report& r) noexcept {
  faults(h, r, std::array<u8, 1>{0xF4}, 0, fault(13), "HLT in ring 3 is #GP");
}
template <typename H>
void port_access_is_privileged(H& h, Report& r) noexcept {
  faults(h, r, std::array<u8, 2>{0xE6, 0x80}, 0x12, fault(13), "OUT in ring 3 is #GP");
}
template <typename H>
void undefined_opcode_faults(H& h, Report& r) noexcept {
  faults(h, r, std::array<u8, 2>{0x0F, 0x0B}, 0, fault(6), "UD2 is #UD");
}
template <typename H>
void division_by_zero_faults(H& h, Report& r) noexcept {
  faults(h, r, std::array<u8, 3>{0x48, 0xF7, 0xF3}, 1, fault(0), "DIV by RBX == 0 is #DE");
}

template <typename H>
void start_outside_the_address_space_faults(H& h, Report& r) noexcept {
  hal::UserContext user = user_program(h, std::array<u8, 2>{0x0F, 0x05});
  user.rip = 1ull << 47;
  auto const exit = h.cpu().run_user(user);
  r.expect(exit.kind == hal::UserExitKind::Fault && exit.vector == 13, "a RIP that is not canonical is #GP of ring 3");
}

template <typename H>
void a_fault_does_not_spoil_the_next_entry(H& h, Report& r) noexcept {
  hal::UserContext user = user_program(h, std::array<u8, 3>{0xF4, 0x0F, 0x05});  // hlt; syscall
  for (u32 i = 0; i < 3; ++i) {
    hal::UserContext once = user;
    r.expect(h.cpu().run_user(once).kind == hal::UserExitKind::Fault, "the fault again");
    once.rip += 1;
    r.expect(h.cpu().run_user(once).kind == hal::UserExitKind::Syscall, "a system call after a fault");
  }
}

inline constexpr std::size_t kCommonCount = 8;
inline constexpr std::size_t kRing3Count = 14;

template <typename H>
inline constexpr std::array<Case<H>, kCommonCount> kCommonCases{{
    {"MemoryKeepsWhatIsWrittenAcrossPages", memory_keeps_what_is_written<H>},
    {"OddLengths", odd_lengths<H>},
    {"EmptyCopiesTouchNothing", empty_copies_touch_nothing<H>},
    {"MsrFaultsAreStatuses", msr_faults_are_statuses<H>},
    {"TimeGoesOn", time_goes_on<H>},
    {"OneProcessorIsTheBsp", one_processor_is_the_bsp<H>},
    {"SharedWords", shared_words<H>},
    {"WindowsAndFlushesLeaveNoTrace", windows_and_flushes_leave_no_trace<H>},
}};

template <typename H>
inline constexpr std::array<Case<H>, kRing3Count> kRing3Cases{{
    {"SystemCallKeepsRegisters", system_call_keeps_registers<H>},
    {"SystemCallIsAnswered", system_call_is_answered<H>},
    {"VectorRegistersSurviveASystemCall", vector_registers_survive_a_system_call<H>},
    {"FarCallReturns", far_call_returns<H>},
    {"Ring3GetsNoInterruptFlag", ring3_gets_no_interrupt_flag<H>},
    {"ReadOfSupervisorMemoryFaults", read_of_supervisor_memory_faults<H>},
    {"WriteOfCodeFaults", write_of_code_faults<H>},
    {"ExecutionOfDataFaults", execution_of_data_faults<H>},
    {"HaltIsPrivileged", halt_is_privileged<H>},
    {"PortAccessIsPrivileged", port_access_is_privileged<H>},
    {"UndefinedOpcodeFaults", undefined_opcode_faults<H>},
    {"DivisionByZeroFaults", division_by_zero_faults<H>},
    {"StartOutsideTheAddressSpaceFaults", start_outside_the_address_space_faults<H>},
    {"AFaultDoesNotSpoilTheNextEntry", a_fault_does_not_spoil_the_next_entry<H>},
}};

/// Calls f(case) for each case that the harness can run.
template <typename H, typename F>
constexpr void for_each_case(F&& f) noexcept {
  for (auto const& one : kCommonCases<H>) {
    f(one);
  }
  if constexpr (H::kHasRing3) {
    for (auto const& one : kRing3Cases<H>) {
      f(one);
    }
  }
}

}  // namespace mm::contract
