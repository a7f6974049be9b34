// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "hal/bare/descriptors.hpp"
#include "hal/roles/machine.hpp"

namespace mm::bare {

/// What user_gate.nasm reads and writes through GS; one per CPU, address in IA32_KERNEL_GS_BASE while ring 3 runs.
struct alignas(64) GateBlock {
  u64 ring0_rsp = 0;  ///< below it: the eight callee-saved registers of mm_bare_enter_user()
  hal::UserContext* user = nullptr;
  u64 scratch = 0;
  hal::UserExit exit;
  u64 pad = 0;
  std::array<u64, 64> stack{};  ///< TSS.RSP0 = its end: holds one hardware frame, never nested
  /// IST2 to IST4: each holds a hardware frame and what the stubs push. A fault that is fatal moves on to IST1.
  std::array<std::array<u64, 32>, kOwnExceptionStacks> exception_stacks{};
};
static_assert(offsetof(GateBlock, exception_stacks) % 16 == 0);
static_assert(offsetof(GateBlock, user) == 0x08 && offsetof(GateBlock, scratch) == 0x10);
static_assert(offsetof(GateBlock, exit) == 0x18 && offsetof(hal::UserExit, cr2) == 0x18);
static_assert(offsetof(hal::UserContext, rsp) == 0x20 && offsetof(hal::UserContext, r8) == 0x40);
static_assert(offsetof(hal::UserContext, r15) == 0x78 && offsetof(hal::UserContext, rip) == 0x80);
static_assert(offsetof(GateBlock, stack) % 16 == 0 && sizeof(GateBlock) % 16 == 0);

extern "C" {
/// Runs ring 3 with `user`, by SYSRETQ (user->rcx == rip, r11 == rflags) or by IRETQ; the reason is in block->exit, its
/// vector, error code and CR2 only for a fault.
void mm_bare_enter_user(GateBlock* block, hal::UserContext* user, u64 by_sysret) noexcept;
/// 1, or 0 when the CPU raised #GP.
u64 mm_bare_rdmsr(u32 msr, u64* value) noexcept;
u64 mm_bare_wrmsr(u32 msr, u64 value) noexcept;
/// Code addresses, never called from C++.
void mm_bare_syscall_entry() noexcept;
void mm_bare_return_gate() noexcept;
void mm_bare_interrupt_stubs() noexcept;
/// Called by the stubs for a fault in ring 0; does not return.
void mm_bare_supervisor_fault(u64 vector, u64 error, u64 rip, u64 cr2) noexcept;
}

}  // namespace mm::bare
