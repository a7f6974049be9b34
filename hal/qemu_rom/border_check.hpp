// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/arch/msr.hpp"
#include "hal/bare/descriptors.hpp"
#include "hal/bare/instructions.hpp"

namespace mm::rom {

extern "C" {
u64 rom_rdmsr(u32 msr, u64* value) noexcept;
u64 rom_wrmsr(u32 msr, u64 value) noexcept;
}

/// Registers of the normal world that RSM does not bring back: what they hold around one MMI. A register that is 0
/// gets a value meanwhile, so that a zero that MM leaves is seen; the end brings the old one back.
class BorderCheck {
 public:
  struct Change {
    char const* name = nullptr;  ///< null: everything is as it was
    u64 before = 0;
    u64 after = 0;
  };

  /// `cr2`: what the program that raises the MMI loads there.
  explicit BorderCheck(u64 cr2) noexcept : cr2_(cr2) {
    for (u64 i = 0; i < kMsrs.size(); ++i) {
      rom_rdmsr(kMsrs[i].msr, &old_[i]);
      expected_[i] = old_[i] == 0 || kMsrs[i].always ? kMsrs[i].pattern : old_[i];
      rom_wrmsr(kMsrs[i].msr, expected_[i]);
    }
    for (u64 i = 32; i < pattern_.bytes.size() - 96; ++i) {
      bool const in_register = i >= 160 || i % 16 < 10;
      pattern_.bytes[i] = static_cast<u8>(in_register ? i * 7 + 1 : 0);
    }
    pattern_.bytes[0] = 0x7F, pattern_.bytes[1] = 0x07;    // FCW: round down
    pattern_.bytes[4] = 0xFF;                              // FTW: all are in use
    pattern_.bytes[24] = 0x80, pattern_.bytes[25] = 0x3F;  // MXCSR: the same
    asm volatile("fxsave64 %0\n\tfxrstor64 %1" : "=m"(own_) : "m"(pattern_) : "memory");
  }
  BorderCheck(BorderCheck const&) = delete;
  BorderCheck& operator=(BorderCheck const&) = delete;

  /// Behind the MMI, once.
  Change end() noexcept {
    FxImage after;
    asm volatile("fxsave64 %0\n\tfxrstor64 %1" : "=m"(after) : "m"(own_) : "memory");
    Change found;
    for (u64 i = 0; i < kMsrs.size(); ++i) {
      u64 now = 0;
      rom_rdmsr(kMsrs[i].msr, &now);
      note(found, kMsrs[i].name, expected_[i], now);
      rom_wrmsr(kMsrs[i].msr, old_[i]);
    }
    note(found, "CR2", cr2_, bare::read_cr2());
    for (u64 i = 0; i < after.bytes.size() - 96; ++i) {
      bool const compared = i < 2 || i == 4 || i == 24 || i == 25 || i >= 32;
      if (compared) {
        note(found, i < 32 ? "x87 or SSE control" : i < 160 ? "ST" : "XMM", pattern_.bytes[i], after.bytes[i]);
      }
    }
    return found;
  }

 private:
  struct Msr {
    u32 msr = 0;
    u64 pattern = 0;
    char const* name = nullptr;
    bool always = false;  ///< what MM sets is what a reset sets
  };
  static constexpr std::array<Msr, 9> kMsrs{{{arch::kMsrStar, 0x0023'0010'1234'5678, "STAR", false},
                                             {arch::kMsrLstar, 0x1111'2222'3000, "LSTAR", false},
                                             {arch::kMsrCstar, 0x1111'2222'4000, "CSTAR", false},
                                             {arch::kMsrFmask, 0x200, "FMASK", false},
                                             {arch::kMsrKernelGsBase, 0x1111'2222'5000, "KernelGSBase", false},
                                             {arch::kMsrSysenterCs, 0x10, "IA32_SYSENTER_CS", false},
                                             {arch::kMsrSysenterEsp, 0x1111'2222'6000, "IA32_SYSENTER_ESP", false},
                                             {arch::kMsrSysenterEip, 0x1111'2222'7000, "IA32_SYSENTER_EIP", false},
                                             {arch::kMsrPat, 0x0006'0406'0007'0406, "IA32_PAT", true}}};
  struct alignas(16) FxImage {
    std::array<u8, 512> bytes{};
  };

  static void note(Change& found, char const* name, u64 before, u64 after) noexcept {
    if (found.name == nullptr && before != after) {
      found = {name, before, after};
    }
  }

  std::array<u64, kMsrs.size()> old_{};
  std::array<u64, kMsrs.size()> expected_{};
  u64 cr2_;
  FxImage pattern_;
  FxImage own_;
};

}  // namespace mm::rom
