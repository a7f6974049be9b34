// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/guid.hpp"

/// Messages of the SMM variable protocol as a runtime DXE driver sends them (edk2 Guid/SmmVariableCommon.h): a header,
/// then the payload of its function. All fields little-endian, no padding before `Name`.
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
  LockVariable = 8,
  GetPayloadSize = 11,
};

/// u64 Function, u64 ReturnStatus; the payload follows at 16.
inline constexpr u64 kHeaderBytes = 16;
/// SMM_VARIABLE_COMMUNICATE_ACCESS_VARIABLE: offsets from the payload. Data follows Name.
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
  static constexpr u64 kBytes = 28;
};

}  // namespace mm::variable
