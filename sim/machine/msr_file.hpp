// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/base/types.hpp"
#include "sim/machine/machine.hpp"

namespace mm::sim {

/// Where the CPU is while it executes RDMSR or WRMSR.
enum class CpuWorld { Normal, Mm };

/// Model-specific registers of one CPU (Intel SDM vol. 4; SMRR: vol. 3, 12.11.2.4 and 34.4.2; hal/qemu_rom/Q35.md 4).
/// Trivially copyable.
class MsrFile {
 public:
  MsrFile() noexcept = default;
  MsrFile(Profile profile, bool bsp) noexcept;
  /// Unsupported: the CPU raises #GP. Reference profile only; q35-tcg reads 0 and ignores writes instead.
  Expected<u64> read(u32 msr, CpuWorld world) const noexcept;
  Expected<void> write(u32 msr, u64 value, CpuWorld world) noexcept;
  void count_smi() noexcept { ++smi_count_; }
  void set_smbase(u64 smbase) noexcept { smbase_ = smbase; }
  /// A declared register as it is, without rules; 0 when it is not declared.
  u64 value(u32 msr) const noexcept;
  void set(u32 msr, u64 value) noexcept;
  u64 apic_base() const noexcept;
  /// What SMRR covers; empty while it is not valid.
  Range smrr() const noexcept;
  /// MSR_SMM_FEATURE_CONTROL.SMM_Code_Chk_En: code outside SMRR is a machine check in MM.
  bool code_check() const noexcept;

 private:
  struct Entry {
    u32 msr = 0;
    u64 value = 0;
  };
  void declare(u32 msr, u64 value = 0) noexcept { entries_[used_++] = {msr, value}; }
  u64* find(u32 msr) noexcept;
  u64 const* find(u32 msr) const noexcept;
  bool is_refused(u32 msr, u64 value, CpuWorld world) const noexcept;
  std::array<Entry, 80> entries_{};
  u32 used_ = 0;
  Profile profile_ = Profile::Q35Tcg;
  u64 smi_count_ = 0;
  u64 smbase_ = 0;
};

}  // namespace mm::sim
