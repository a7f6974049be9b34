// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/guid.hpp"

/// Messages of the SMM variable protocol as a runtime DXE driver sends them (edk2 Guid/SmmVariableCommon.h): a header,
/// then the payload of its function. All fields little-endian; the structs below are offsets from the payload.
namespace mm::variable {

/// gEfiSmmVariableProtocolGuid: handler type, and protocol that says "variables can be read".
inline constexpr Guid kProtocol = "ED32D533-99E6-4209-9CC0-2D72CDD998A7"_guid;
/// gSmmVariableWriteGuid: "variables can be written".
inline constexpr Guid kWriteReady = "93BA1826-DFFB-45DD-82A7-E7DCAA3BBDF3"_guid;

enum class Function : u64 {
  GetVariable = 1,
  GetNextVariableName = 2,
  SetVariable = 3,
  QueryVariableInfo = 4,
  ReadyToBoot = 5,
  ExitBootService = 6,
  GetStatistics = 7,
  LockVariable = 8,
  VarCheckVariablePropertySet = 9,
  VarCheckVariablePropertyGet = 10,
  GetPayloadSize = 11,
  InitRuntimeVariableCacheContext = 12,
  SyncRuntimeCache = 13,
  GetRuntimeCacheInfo = 14,
};

/// u64 Function, u64 ReturnStatus; the payload follows at 16.
inline constexpr u64 kHeaderBytes = 16;
/// SMM_VARIABLE_COMMUNICATE_ACCESS_VARIABLE. Data follows Name.
struct Access {
  static constexpr u64 kGuid = 0;
  static constexpr u64 kDataSize = 16;
  static constexpr u64 kNameSize = 24;
  static constexpr u64 kAttributes = 32;
  static constexpr u64 kName = 36;
};
/// SMM_VARIABLE_COMMUNICATE_GET_NEXT_VARIABLE_NAME, and LOCK_VARIABLE.
struct Next {
  static constexpr u64 kGuid = 0;
  static constexpr u64 kNameSize = 16;
  static constexpr u64 kName = 24;
};
/// SMM_VARIABLE_COMMUNICATE_QUERY_VARIABLE_INFO.
struct Info {
  static constexpr u64 kMaximumStorage = 0;
  static constexpr u64 kRemainingStorage = 8;
  static constexpr u64 kMaximumVariable = 16;
  static constexpr u64 kAttributes = 24;
  static constexpr u64 kBytes = 32;
};
/// SMM_VARIABLE_COMMUNICATE_VAR_CHECK_VARIABLE_PROPERTY.
struct Check {
  static constexpr u64 kNameSize = 16;
  static constexpr u64 kProperty = 24;
  static constexpr u64 kName = 48;
};
/// SMM_VARIABLE_COMMUNICATE_RUNTIME_VARIABLE_CACHE_CONTEXT: addresses in the normal world. The flags are bytes.
struct CacheContext {
  u64 read_lock = 0;
  u64 pending_update = 0;
  u64 hob_flush_complete = 0;
  u64 hob_cache = 0;  ///< 0: none
  u64 non_volatile_cache = 0;
  u64 volatile_cache = 0;
};
static_assert(sizeof(CacheContext) == 48);
/// SMM_VARIABLE_COMMUNICATE_GET_RUNTIME_CACHE_INFO.
struct CacheInfo {
  static constexpr u64 kHobStorage = 0;
  static constexpr u64 kNonVolatileStorage = 8;
  static constexpr u64 kVolatileStorage = 16;
  static constexpr u64 kAuthenticated = 24;
  static constexpr u64 kBytes = 32;
};

/// VAR_CHECK_VARIABLE_PROPERTY (edk2 Protocol/VarCheck.h).
struct Property {
  static constexpr u16 kRevision = 1;
  static constexpr u16 kReadOnly = 1;
  u16 revision = 0;
  u16 property = 0;
  u32 attributes = 0;  ///< 0: any
  u64 min_size = 0;
  u64 max_size = UINT64_MAX;
};
static_assert(sizeof(Property) == 24);

/// The emulated flash, as a bench has it on wires: handler type, and its message.
inline constexpr Guid kFlashBench = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0064"_guid;
/// u64 operation, u64 argument; reply: u64 bytes programmed, u64 erasures, both of the operation's store.
enum class Bench : u64 {
  NonVolatileWear = 0,
  VolatileWear = 1,
  FailAfter = 2,  ///< the power fails after `argument` more bytes
  PowerOn = 3,    ///< as after a reset: volatile variables are gone, the flash is opened again
};

}  // namespace mm::variable
