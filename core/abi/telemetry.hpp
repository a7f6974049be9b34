// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/comm.hpp"
#include "core/base/guid.hpp"

/// What a fault of ring 3, a refused system call or a fault of ring 0 leaves in the supervisor-to-user page
/// (core/abi/ABI.md 10).
namespace mm::abi {

/// EFI_SYSTEM_CONTEXT_X64 (UEFI 2.10, 18.2). What ring 0 does not know is 0.
struct SystemContextX64 {
  u64 exception_data = 0;
  u8 fx_save_state[512] = {};
  u64 dr0 = 0, dr1 = 0, dr2 = 0, dr3 = 0, dr6 = 0, dr7 = 0;
  u64 cr0 = 0, cr1 = 0, cr2 = 0, cr3 = 0, cr4 = 0, cr8 = 0;
  u64 rflags = 0;
  u64 ldtr = 0, tr = 0;
  u64 gdtr[2] = {}, idtr[2] = {};
  u64 rip = 0;
  u64 gs = 0, fs = 0, es = 0, ds = 0, cs = 0, ss = 0;
  u64 rdi = 0, rsi = 0, rbp = 0, rsp = 0, rbx = 0, rdx = 0, rcx = 0, rax = 0;
  u64 r8 = 0, r9 = 0, r10 = 0, r11 = 0, r12 = 0, r13 = 0, r14 = 0, r15 = 0;
};
static_assert(sizeof(SystemContextX64) == 856);

/// MM_SUPV_TELEMETRY_DATA.
struct TelemetryData {
  u32 signature = 0x5456'534D;  ///< 'MSVT'
  u32 telemetry_size = 904;
  u64 exception_type = 0;  ///< vector, or one of supervisor/types.hpp
  Guid driver_id{};        ///< file GUID of the image that holds RIP; zero when none does
  u64 exception_rip = 0;
  u64 driver_load_address = 0;  ///< RIP when no image holds it
  SystemContextX64 context;
};
static_assert(sizeof(TelemetryData) == 904);

/// Byte offset of the record in the supervisor-to-user page when the machine stops.
inline constexpr u64 kTelemetryOffset = 8;
/// And of the last contained fault, after which the start of the page is still in use. Ours.
inline constexpr u64 kContainedTelemetryOffset = 1024;
static_assert(kContainedTelemetryOffset >= kUserFaultOffset + sizeof(UserFaultRecord));
static_assert(kContainedTelemetryOffset + sizeof(TelemetryData) <= kPageSize);

}  // namespace mm::abi
