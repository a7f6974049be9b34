// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

/// Numbers and bits of the model-specific registers that more than one module knows (Intel SDM vol. 4; AMD APM vol. 2,
/// appendix A). Only names: whoever reads or writes a register says by which instruction.
namespace mm::arch {

inline constexpr u32 kMsrTsc = 0x10;
inline constexpr u32 kMsrApicBase = 0x1B;
inline constexpr u32 kMsrSmiCount = 0x34;
inline constexpr u32 kMsrSmmMonitorControl = 0x9B;
inline constexpr u32 kMsrSmbase = 0x9E;
inline constexpr u32 kMsrMtrrCap = 0xFE;
inline constexpr u32 kMsrSysenterCs = 0x174;
inline constexpr u32 kMsrSysenterEsp = 0x175;
inline constexpr u32 kMsrSysenterEip = 0x176;
inline constexpr u32 kMsrSmmMcaCap = 0x17D;
inline constexpr u32 kMsrMiscEnable = 0x1A0;
inline constexpr u32 kMsrSmrrBase = 0x1F2;
inline constexpr u32 kMsrSmrrMask = 0x1F3;
inline constexpr u32 kMsrPat = 0x277;
inline constexpr u32 kMsrVmxBasic = 0x480;
inline constexpr u32 kMsrSmmFeatureControl = 0x4E0;
inline constexpr u32 kMsrEfer = 0xC000'0080;
inline constexpr u32 kMsrStar = 0xC000'0081;
inline constexpr u32 kMsrLstar = 0xC000'0082;
inline constexpr u32 kMsrCstar = 0xC000'0083;
inline constexpr u32 kMsrFmask = 0xC000'0084;
inline constexpr u32 kMsrFsBase = 0xC000'0100;
inline constexpr u32 kMsrGsBase = 0xC000'0101;
inline constexpr u32 kMsrKernelGsBase = 0xC000'0102;

// IA32_APIC_BASE
inline constexpr u64 kApicBaseBsp = 1ull << 8;
inline constexpr u64 kApicBaseEnable = 1ull << 11;

// IA32_MTRRCAP, and the pair of SMRR registers that it announces
inline constexpr u64 kMtrrCapSmrr = 1ull << 11;
inline constexpr u64 kMtrrCapSmrrLock = 1ull << 14;
inline constexpr u64 kSmrrWriteBack = 6;
inline constexpr u64 kSmrrLock = 1ull << 10;
inline constexpr u64 kSmrrValid = 1ull << 11;

// MSR_SMM_MCA_CAP, and the code access check of MSR_SMM_FEATURE_CONTROL that it announces
inline constexpr u64 kSmmCodeAccessCap = 1ull << 58;
inline constexpr u64 kSmmFeatureLock = 1ull << 0;
inline constexpr u64 kSmmCodeCheck = 1ull << 2;

// IA32_SMM_MONITOR_CTL
inline constexpr u64 kMonitorValid = 1ull << 0;

// IA32_EFER
inline constexpr u64 kEferSce = 1ull << 0;
inline constexpr u64 kEferLme = 1ull << 8;
inline constexpr u64 kEferLma = 1ull << 10;
inline constexpr u64 kEferNxe = 1ull << 11;

/// IA32_PAT as a reset leaves it.
inline constexpr u64 kPatOfReset = 0x0007'0406'0007'0406;

}  // namespace mm::arch
