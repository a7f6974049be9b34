// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <concepts>
#include <span>

#include "core/abi/syscalls.hpp"
#include "core/base/types.hpp"
#include "hal/roles/trace.hpp"

/// What the supervisor demands of a machine. Every operation is noexcept and acts on the CPU whose handle is used.
namespace mm::hal {

/// Ring-3 register file at an exit, and what the next entry starts with. FX state stays in the CPU: ring 0 uses none,
/// and Cpu::clean_user_state() sets it before each demotion.
struct UserContext {
  u64 rax = 0, rcx = 0, rdx = 0, rbx = 0, rsp = 0, rbp = 0, rsi = 0, rdi = 0;
  u64 r8 = 0, r9 = 0, r10 = 0, r11 = 0, r12 = 0, r13 = 0, r14 = 0, r15 = 0;
  u64 rip = 0;
  u64 rflags = 0x2;
};

/// Why ring 3 came back.
struct UserExit {
  UserExitKind kind{};
  u64 vector = 0;
  u64 error_code = 0;
  u64 cr2 = 0;
};

/// Guest-physical memory as the supervisor sees it through its own (identity) page tables.
/// load/store/copy fault - SupervisorFault event and halt - exactly where the CPU would: not present, read-only with
/// WP set, user page outside a user-access window (CR4.SMAP). `size` of copy may be 0.
template <typename Mem>
concept PhysMemory = requires(Mem& m, PhysAddr at, std::span<std::byte> in, std::span<std::byte const> out, u64 n) {
  { m.read(at, in) } noexcept;     ///< memory -> host object
  { m.write(at, out) } noexcept;   ///< host object -> memory
  { m.copy(at, at, n) } noexcept;  ///< copy(destination, source, bytes), ranges must not overlap
  { m.zero(at, n) } noexcept;
};

/// One CPU inside MM. Obtained from Machine::cpu(); its address identifies the CPU for the whole run.
template <typename C>
concept Cpu =
    requires(C& c, u32 msr, u64 v, u16 port, abi::IoWidth w, u32 io, UserContext& user, u32 const& seen, u32& shared) {
      requires PhysMemory<C>;
      /// RDMSR/WRMSR with #GP caught: Status::Unsupported when the CPU refuses.
      { c.read_msr(msr) } noexcept -> std::same_as<Expected<u64>>;
      { c.write_msr(msr, v) } noexcept -> std::same_as<Expected<void>>;
      { c.port_in(port, w) } noexcept -> std::same_as<u32>;
      { c.port_out(port, w, io) } noexcept;
      { c.cli() } noexcept;
      { c.hlt() } noexcept;  ///< the CALLER has decided that halting is allowed; returns at the next wake-up
      { c.wbinvd() } noexcept;
      /// No load behind it starts before the checks in front of it are decided (LFENCE).
      { c.speculation_barrier() } noexcept;
      { c.pause() } noexcept;  ///< inside every spin loop; a scheduling point of the simulator
      /// The words that CPUs share, aligned ones of ring 0's own state, and no other way to them: so that a scheduler
      /// sees each access. A load acquires and a store releases: who loads what another CPU has stored sees all that it
      /// wrote before. increment_shared() adds 1 at once, and does both; words wrap.
      { c.load_shared(seen) } noexcept -> std::same_as<u32>;
      { c.store_shared(shared, io) } noexcept;
      { c.increment_shared(shared) } noexcept;
      { c.read_cr3() } noexcept -> std::same_as<u64>;
      { c.flush_tlb() } noexcept;
      /// CR0.WP: false opens read-only supervisor pages to write(); always paired, on one CPU, never across run_user().
      { c.set_write_protect(bool{}) } noexcept;
      /// STAC/CLAC: true opens user pages to read/write/copy/zero; never across run_user(). No-op where SMAP is off.
      { c.set_user_access(bool{}) } noexcept;
      /// Before each demotion: the x87 as FNINIT leaves it, MXCSR 1F80H, ST0-7 and XMM0-15 zero. Ring 3 sees nothing
      /// there that the normal world or an earlier demotion left.
      { c.clean_user_state() } noexcept;
      /// Enters ring 3 with `user` (RSP mod 16 == 8 is the caller's business) and returns when it comes back; `user` is
      /// updated. On kind Fault and Budget the context is that of the faulting instruction. Not re-entrant per CPU.
      { c.run_user(user) } noexcept -> std::same_as<UserExit>;
      /// Microseconds on a clock of this CPU that starts at 0 with each MMI and only grows. The normal world can
      /// neither move nor stop its source. Differences between two CPUs mean nothing.
      { c.now_us() } noexcept -> std::same_as<u64>;
      /// IA32_APIC_BASE bit 8. The normal world can write it: asked in the first MMI only.
      { c.is_bsp() } noexcept -> std::same_as<bool>;
      { c.apic_id() } noexcept -> std::same_as<u32>;
      /// MAXPHYADDR (CPUID 80000008H:EAX[7:0]): a page-table entry with a higher address bit is a fault of its own.
      { c.physical_address_bits() } noexcept -> std::same_as<u32>;
    };

/// The machine: CPUs, trace, end.
template <typename M>
concept Machine = requires(M& m, TraceEvent const& e, HaltReason why, u64 v) {
  requires Cpu<typename M::Cpu>;
  /// Null on a release build (kTraced false): then events are not even built.
  { M::kTraced } -> std::convertible_to<bool>;
  { m.trace(e) } noexcept;
  /// MMRAM as the chipset's own registers give it; empty while it is not closed and locked. Never what a loader says.
  { m.mmram() } noexcept -> std::same_as<Range>;
  /// An address inside the supervisor image that runs.
  { m.own_code() } noexcept -> std::same_as<u64>;
  /// Stops every CPU for ever: none leaves MM, none gets one more system call served. Emits nothing: the caller has
  /// traced Halt. Returns on a fake machine only.
  { m.halt(why) } noexcept;
};

/// A user-access window (SMAP) that closes itself.
template <Cpu C>
class UserAccess {
 public:
  explicit UserAccess(C& cpu) noexcept : cpu_(cpu) { cpu_.set_user_access(true); }
  ~UserAccess() { cpu_.set_user_access(false); }
  UserAccess(UserAccess const&) = delete;
  UserAccess& operator=(UserAccess const&) = delete;

 private:
  C& cpu_;
};

/// A write window over read-only supervisor pages (CR0.WP) that closes itself.
template <Cpu C>
class WriteWindow {
 public:
  explicit WriteWindow(C& cpu) noexcept : cpu_(cpu) { cpu_.set_write_protect(false); }
  ~WriteWindow() { cpu_.set_write_protect(true); }
  WriteWindow(WriteWindow const&) = delete;
  WriteWindow& operator=(WriteWindow const&) = delete;

 private:
  C& cpu_;
};

/// Reads one trivially copyable object. `read_object<T>(cpu, addr)`.
template <typename T, PhysMemory Mem>
T read_object(Mem& memory, PhysAddr at) noexcept {
  T value{};
  memory.read(at, std::as_writable_bytes(std::span<T, 1>{&value, 1}));
  return value;
}
template <typename T, PhysMemory Mem>
void write_object(Mem& memory, PhysAddr at, T const& value) noexcept {
  memory.write(at, std::as_bytes(std::span<T const, 1>{&value, 1}));
}

}  // namespace mm::hal
