// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/arch/descriptors.hpp"
#include "core/arch/msr.hpp"
#include "hal/bare/descriptors.hpp"
#include "hal/bare/gate_block.hpp"
#include "hal/bare/instructions.hpp"

/// Registers that an SMI leaves as the normal world has them and that RSM does not bring back. hal/bare/README.md has
/// the table of every architectural register.
namespace mm::bare {

/// An MSR that ring 0 needs to have a value of its own while a CPU is in MM.
struct BorderMsr {
  u32 msr = 0;
  u64 inside = 0;
};

/// SYSCALL and SYSENTER enter ring 0 here or nowhere; memory has the types that the tables give it, by the PAT of
/// reset.
inline constexpr std::array kBorderMsrs{
    BorderMsr{arch::kMsrStar, arch::kStarSelectors},
    BorderMsr{arch::kMsrCstar, 0},
    BorderMsr{arch::kMsrFmask, kFmask},
    BorderMsr{arch::kMsrKernelGsBase, 0},
    BorderMsr{arch::kMsrSysenterCs, 0},
    BorderMsr{arch::kMsrSysenterEsp, 0},
    BorderMsr{arch::kMsrSysenterEip, 0},
    BorderMsr{arch::kMsrPat, arch::kPatOfReset},
};

/// What the normal world had: kept at entry, given back at exit.
class Border {
 public:
  void enter() noexcept {
    lstar_ = read_known_msr(arch::kMsrLstar);
    cr2_ = read_cr2();
    write_known_msr(arch::kMsrLstar, reinterpret_cast<u64>(&mm_bare_syscall_entry));
    for (u64 i = 0; i < kBorderMsrs.size(); ++i) {
      outside_[i] = read_known_msr(kBorderMsrs[i].msr);
      if (outside_[i] != kBorderMsrs[i].inside) {
        write_known_msr(kBorderMsrs[i].msr, kBorderMsrs[i].inside);
      }
    }
  }
  /// Whatever they hold now: what was there at entry.
  void leave() noexcept {
    write_known_msr(arch::kMsrLstar, lstar_);
    write_cr2(cr2_);
    for (u64 i = 0; i < kBorderMsrs.size(); ++i) {
      write_known_msr(kBorderMsrs[i].msr, outside_[i]);
    }
  }

 private:
  std::array<u64, kBorderMsrs.size()> outside_{};
  u64 lstar_ = 0;
  u64 cr2_ = 0;
};

}  // namespace mm::bare
