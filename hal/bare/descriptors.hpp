// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/arch/descriptors.hpp"

/// Gates that the bare machine fills in, and what it wants in MSRs (core/abi/ABI.md 8; Intel SDM vol. 3, 5.8
/// and 6.14).
namespace mm::bare {

inline constexpr u64 kFmask = 0x5'7700;  ///< IF TF DF AC NT RF IOPL
/// Flags that ring 3 owns: CF PF AF ZF SF TF DF OF AC ID. IF stays clear, IOPL 0.
inline constexpr u64 kUserFlags = 0x24'0DD5;

/// Vectors that must not run on the stack of whom they interrupt: #DB (on a SYSCALL edge), NMI, #DF, #MC. Each has one
/// of its own, because one of them can come while another is handled: an NMI in the first instruction of #DB's stub.
/// Within a vector nothing nests: NMI is blocked until IRETQ, #DB clears TF, #DF and #MC do not return.
enum class ExceptionStack : u8 { None = 0, DoubleFault = 1, Debug = 2, Nmi = 3, MachineCheck = 4 };
inline constexpr u64 kOwnExceptionStacks = 3;  ///< IST2 to IST4; IST1 is the loader's
constexpr ExceptionStack stack_of_vector(u32 vector) noexcept {
  switch (vector) {
    case 1:
      return ExceptionStack::Debug;
    case 2:
      return ExceptionStack::Nmi;
    case 8:
      return ExceptionStack::DoubleFault;
    case 18:
      return ExceptionStack::MachineCheck;
    default:
      return ExceptionStack::None;
  }
}

/// A gate as two words: interrupt gate (type 0xE, DPL 0) or call gate (type 0xC, DPL 3).
struct Gate {
  u64 low = 0;
  u64 high = 0;
};
constexpr Gate make_gate(u64 target, u8 ist, u8 access) noexcept {
  return {(target & 0xFFFF) | arch::kSupervisorCodeSelector << 16 | u64{ist} << 32 | u64{access} << 40 |
              (target >> 16 & 0xFFFF) << 48,
          target >> 32};
}
constexpr Gate interrupt_gate(u64 target, ExceptionStack stack) noexcept {
  return make_gate(target, static_cast<u8>(stack), 0x8E);
}
constexpr Gate call_gate(u64 target) noexcept { return make_gate(target, 0, 0xEC); }

}  // namespace mm::bare
