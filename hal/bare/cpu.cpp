// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "hal/bare/machine.hpp"

namespace mm::bare {
namespace {

constexpr u32 kVectorGeneralProtection = 13;
constexpr u32 kVectorPageFault = 14;
constexpr u64 kLowerHalfEnd = 1ull << 47;

template <typename T>
T load(u64 at) noexcept {
  return *reinterpret_cast<T const volatile*>(at);
}
template <typename T>
void store(u64 at, T value) noexcept {
  *reinterpret_cast<T volatile*>(at) = value;
}
void store_gate(u64 at, Gate gate) noexcept {
  store<u64>(at, gate.low);
  store<u64>(at + 8, gate.high);
}
/// Base of the 64-bit TSS descriptor at `at`.
u64 tss_base(u64 at) noexcept {
  u64 const low = load<u64>(at);
  return (low >> 16 & 0xFF'FFFF) | (low >> 56 & 0xFF) << 24 | load<u64>(at + 8) << 32;
}

}  // namespace

hal::UserExit Cpu::run_user(hal::UserContext& user) noexcept {
  user.rflags = (user.rflags & kUserFlags) | 2;
  if (user.rip >= kLowerHalfEnd) {
    // IRETQ would fault in ring 0: give the answer that ring 3 would have got.
    return {hal::UserExitKind::Fault, kVectorGeneralProtection, 0, 0};
  }
  mm_bare_enter_user(&gate_, &user, user.rcx == user.rip && user.r11 == user.rflags ? 1 : 0);
  hal::UserExit const& exit = gate_.exit;
  if (exit.kind != hal::UserExitKind::Fault) {
    return {exit.kind, 0, 0, 0};
  }
  return {exit.kind, exit.vector, exit.error_code, exit.vector == kVectorPageFault ? exit.cr2 : 0};
}

void Cpu::begin_mmi() noexcept {
  normal_ = {read_known_msr(kMsrStar),         read_known_msr(kMsrLstar),      read_known_msr(kMsrFmask),
             read_known_msr(kMsrKernelGsBase), read_known_msr(kMsrSysenterCs), read_cr2()};
  u64 const efer = read_known_msr(kMsrEfer);
  if ((efer & kEferSce) == 0) {
    write_known_msr(kMsrEfer, efer | kEferSce);  // another MMI entry than ours; RSM brings the old one back
  }
  write_known_msr(kMsrStar, kStarSelectors | (normal_.star & 0xFFFF'FFFF));
  write_known_msr(kMsrLstar, reinterpret_cast<u64>(&mm_bare_syscall_entry));
  write_known_msr(kMsrFmask, kFmask);
  write_known_msr(kMsrGsBase, reinterpret_cast<u64>(&gate_));
  write_known_msr(kMsrKernelGsBase, 0);
  // Two more ways into ring 0 that the normal world has set up: SYSENTER, and the call gates of its LDT (RSM brings
  // that back).
  write_known_msr(kMsrSysenterCs, 0);
  load_null_ldt();
  u64 const cr4 = read_cr4();
  smap_ = (cr4 & kCr4Smap) != 0;
  if (!tables_ready_) {
    fill_tables();
    tables_ready_ = true;
  }
  write_cr4(cr4 | kCr4MachineCheck);  // only now: the entry code leaves it clear; RSM brings the old one back
}

void Cpu::end_mmi() noexcept {
  write_known_msr(kMsrStar, normal_.star);
  write_known_msr(kMsrLstar, normal_.lstar);
  write_known_msr(kMsrFmask, normal_.fmask);
  write_known_msr(kMsrKernelGsBase, normal_.kernel_gs);
  write_known_msr(kMsrSysenterCs, normal_.sysenter_cs);
  write_cr2(normal_.cr2);
}

void Cpu::fill_tables() noexcept {
  u64 const idt = read_idtr().base;
  u64 const gdt = read_gdtr().base;
  u64 const stubs = reinterpret_cast<u64>(&mm_bare_interrupt_stubs);
  hal::WriteWindow const window(*this);
  for (u32 vector = 0; vector < 256; ++vector) {
    store_gate(idt + vector * 16, interrupt_gate(stubs + vector * 16, stack_of_vector(vector)));
  }
  store_gate(gdt + kGdtCallGate, call_gate(reinterpret_cast<u64>(&mm_bare_return_gate)));
  u64 const stack_end = reinterpret_cast<u64>(gate_.stack.data() + gate_.stack.size());
  store<u64>(tss_base(gdt + kGdtTss) + kTssRsp0, stack_end);
}

}  // namespace mm::bare
