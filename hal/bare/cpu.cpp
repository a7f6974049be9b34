// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/arch/control.hpp"
#include "core/arch/msr.hpp"
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
  stop_if_raised();  // what ring 3 asks for now is not served any more
  hal::UserExit const& exit = gate_.exit;
  if (exit.kind != hal::UserExitKind::Fault) {
    return {exit.kind, 0, 0, 0};
  }
  return {exit.kind, exit.vector, exit.error_code, exit.vector == kVectorPageFault ? exit.cr2 : 0};
}

void Cpu::clean_user_state() noexcept {
  struct alignas(16) FxImage {
    u16 fcw = 0x037F;
    std::array<u16, 11> rest{};
    u32 mxcsr = 0x1F80;
    u32 mxcsr_mask = 0;
    std::array<std::byte, 480> registers{};
  };
  static_assert(sizeof(FxImage) == 512 && offsetof(FxImage, mxcsr) == 24);
  static constexpr FxImage kClean;
  fxrstor(&kClean);
}

void Cpu::begin_mmi() noexcept {
  entered_ = read_tsc();
  border_.enter();
  u64 const efer = read_known_msr(arch::kMsrEfer);
  if ((efer & arch::kEferSce) == 0) {
    write_known_msr(arch::kMsrEfer, efer | arch::kEferSce);  // another MMI entry than ours; RSM brings the old one back
  }
  write_known_msr(arch::kMsrGsBase, reinterpret_cast<u64>(&gate_));
  load_null_ldt();  // its call gates were another way into ring 0; RSM brings it back
  u64 const cr4 = read_cr4();
  smap_ = (cr4 & arch::kCr4Smap) != 0;
  if (!tables_ready_) {
    fill_tables();
    tables_ready_ = true;
  }
  write_cr4(cr4 | arch::kCr4MachineCheck);  // only now: the entry code leaves it clear; RSM brings the old one back
}

void Cpu::end_mmi() noexcept {
  stop_if_raised();
  border_.leave();
}

void Cpu::fill_tables() noexcept {
  u64 const idt = read_idtr().base;
  u64 const gdt = read_gdtr().base;
  u64 const stubs = reinterpret_cast<u64>(&mm_bare_interrupt_stubs);
  hal::WriteWindow const window(*this);
  for (u32 vector = 0; vector < 256; ++vector) {
    store_gate(idt + vector * 16, interrupt_gate(stubs + vector * 16, stack_of_vector(vector)));
  }
  store_gate(gdt + arch::kGateSelector, call_gate(reinterpret_cast<u64>(&mm_bare_return_gate)));
  u64 const tss = tss_base(gdt + arch::kTssSelector);
  store<u64>(tss + arch::kTssRsp0, reinterpret_cast<u64>(gate_.stack.data() + gate_.stack.size()));
  for (u64 i = 0; i < gate_.exception_stacks.size(); ++i) {
    auto& stack = gate_.exception_stacks[i];
    store<u64>(tss + arch::kTssIst1 + (i + 1) * 8, reinterpret_cast<u64>(stack.data() + stack.size()));
  }
}

}  // namespace mm::bare
