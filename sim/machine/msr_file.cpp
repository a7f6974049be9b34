// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/msr_file.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "core/arch/msr.hpp"

namespace mm::sim {
namespace {

constexpr u64 kApicBaseReset = 0xFEE0'0000;
constexpr u64 kPageMask32 = 0xFFFF'F000;

/// Both profiles have them; 0 after reset unless the constructor says otherwise.
constexpr u32 kCommon[] = {arch::kMsrTsc,
                           0x17,
                           0x3A,
                           0x3B,
                           0x8B,
                           0xCE,
                           arch::kMsrSysenterCs,
                           arch::kMsrSysenterEsp,
                           arch::kMsrSysenterEip,
                           0x1D9,
                           0x2FF,
                           0x250,
                           0x258,
                           0x259,
                           0x268,
                           0x269,
                           0x26A,
                           0x26B,
                           0x26C,
                           0x26D,
                           0x26E,
                           0x26F,
                           arch::kMsrStar,
                           arch::kMsrLstar,
                           arch::kMsrCstar,
                           arch::kMsrFmask,
                           0x6E0,
                           arch::kMsrFsBase,
                           arch::kMsrGsBase,
                           arch::kMsrKernelGsBase,
                           0xC0000103};
constexpr u64 kVmxBasic = 0x00DA'0400'0000'0004;  ///< revision 4, a page a VMCS, dual-monitor treatment of SMM
constexpr u32 kVariableMtrrs = 0x200, kVariableMtrrsEnd = 0x210;

constexpr bool is_read_only(u32 msr) noexcept {
  return msr == arch::kMsrSmiCount || msr == arch::kMsrMtrrCap || msr == 0x17 || msr == 0xCE ||
         msr == arch::kMsrSmmMcaCap || msr == arch::kMsrSmbase || msr == arch::kMsrVmxBasic;
}
/// Registers that exist only inside MM.
constexpr bool is_mm_only(u32 msr) noexcept {
  return msr == arch::kMsrSmbase || msr == arch::kMsrSmmMcaCap || msr == arch::kMsrSmmFeatureControl;
}

}  // namespace

MsrFile::MsrFile(Profile profile, bool bsp) noexcept : profile_(profile) {
  for (u32 msr : kCommon) {
    declare(msr);
  }
  for (u32 msr = kVariableMtrrs; msr < kVariableMtrrsEnd; ++msr) {
    declare(msr);
  }
  declare(arch::kMsrApicBase, kApicBaseReset | arch::kApicBaseEnable | (bsp ? arch::kApicBaseBsp : 0));
  declare(arch::kMsrPat, arch::kPatOfReset);
  declare(arch::kMsrMiscEnable, 1);
  declare(arch::kMsrEfer, 0xD01);
  if (profile == Profile::Reference) {
    declare(arch::kMsrMtrrCap, 0x508 | arch::kMtrrCapSmrr | arch::kMtrrCapSmrrLock);
    declare(arch::kMsrSmrrBase);
    declare(arch::kMsrSmrrMask);
    declare(arch::kMsrSmmMcaCap, arch::kSmmCodeAccessCap);
    declare(arch::kMsrSmmFeatureControl);
    declare(arch::kMsrSmbase);
    declare(arch::kMsrVmxBasic, kVmxBasic);
    declare(arch::kMsrSmmMonitorControl);
  } else {
    declare(arch::kMsrMtrrCap, 0x508);
  }
}

u64 const* MsrFile::find(u32 msr) const noexcept {
  auto const used = std::span(entries_).first(used_);
  auto const at = std::ranges::find(used, msr, &Entry::msr);
  return at == used.end() ? nullptr : &at->value;
}
u64* MsrFile::find(u32 msr) noexcept { return const_cast<u64*>(std::as_const(*this).find(msr)); }

Expected<u64> MsrFile::read(u32 msr, CpuWorld world) const noexcept {
  if (msr == arch::kMsrSmiCount) {
    return smi_count_;
  }
  u64 const* const slot = find(msr);
  bool const hidden = world == CpuWorld::Normal && is_mm_only(msr);
  if (slot == nullptr || hidden) {
    return profile_ == Profile::Reference ? Expected<u64>(std::unexpected(Status::Unsupported)) : u64{0};
  }
  return msr == arch::kMsrSmbase ? smbase_ : *slot;
}

/// What raises #GP on a CPU although the register can be written.
bool MsrFile::is_refused(u32 msr, u64 value, CpuWorld world) const noexcept {
  u64 const* const smrr_mask = find(arch::kMsrSmrrMask);
  bool const is_locked = smrr_mask != nullptr && (*smrr_mask & arch::kSmrrLock) != 0;
  switch (msr) {
    case arch::kMsrEfer:
      return (value & ~u64{0xD01}) != 0;
    case arch::kMsrApicBase: {
      // Without x2APIC bit 10 is reserved. A CPU with SMRR does not let the APIC page lie in it.
      constexpr u64 kReserved = ~(kPageMask32 | arch::kApicBaseBsp | arch::kApicBaseEnable);
      bool const enabled = (value & arch::kApicBaseEnable) != 0;
      return (value & kReserved) != 0 || (enabled && smrr().overlaps({value & kPageMask32, kPageSize}));
    }
    case arch::kMsrSmrrBase:
      return world == CpuWorld::Normal || is_locked || (value & ~(kPageMask32 | 0xFF)) != 0;
    case arch::kMsrSmrrMask:
      return world == CpuWorld::Normal || is_locked ||
             (value & ~(kPageMask32 | arch::kSmrrValid | arch::kSmrrLock)) != 0;
    case arch::kMsrSmmMonitorControl:
      return world == CpuWorld::Normal || (value & ~(kPageMask32 | 5)) != 0;
    case arch::kMsrSmmFeatureControl:
      return (*find(msr) & arch::kSmmFeatureLock) != 0 || (value & ~u64{7}) != 0;
    default:
      return false;
  }
}

Expected<void> MsrFile::write(u32 msr, u64 value, CpuWorld world) noexcept {
  u64* const slot = is_read_only(msr) ? nullptr : find(msr);
  bool const hidden = world == CpuWorld::Normal && is_mm_only(msr);
  if (profile_ == Profile::Reference && (slot == nullptr || hidden || is_refused(msr, value, world))) {
    return std::unexpected(Status::Unsupported);
  }
  if (slot == nullptr) {
    return {};
  }
  if (msr == arch::kMsrApicBase) {
    value = (value & (kPageMask32 | arch::kApicBaseEnable)) | (*slot & arch::kApicBaseBsp);
  }
  *slot = value;
  return {};
}

u64 MsrFile::value(u32 msr) const noexcept {
  u64 const* const slot = find(msr);
  return slot == nullptr ? 0 : *slot;
}

void MsrFile::set(u32 msr, u64 value) noexcept {
  if (u64* const slot = find(msr); slot != nullptr) {
    *slot = value;
  }
}

u64 MsrFile::apic_base() const noexcept { return *find(arch::kMsrApicBase); }

Range MsrFile::smrr() const noexcept {
  u64 const* const base = find(arch::kMsrSmrrBase);
  if (base == nullptr) {
    return {};
  }
  u64 const mask = *find(arch::kMsrSmrrMask);
  u64 const covered = mask & kPageMask32;
  bool const valid = (mask & arch::kSmrrValid) != 0 && covered != 0;
  return valid ? Range{*base & covered, (~covered & 0xFFFF'FFFF) + 1} : Range{};
}

bool MsrFile::code_check() const noexcept {
  u64 const* const control = find(arch::kMsrSmmFeatureControl);
  return control != nullptr && (*control & arch::kSmmCodeCheck) != 0;
}

}  // namespace mm::sim
