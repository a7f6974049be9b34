// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/types.hpp"

/// Which attributes a variable can have (UEFI 2.10, 8.2), with the statuses of edk2's driver without authentication and
/// without space for hardware error records.
namespace mm::variable {

inline constexpr u32 kNonVolatile = 0x1;  ///< EFI_VARIABLE_*
inline constexpr u32 kBootServiceAccess = 0x2;
inline constexpr u32 kRuntimeAccess = 0x4;
inline constexpr u32 kHardwareErrorRecord = 0x8;
inline constexpr u32 kAuthenticatedWriteAccess = 0x10;
inline constexpr u32 kTimeBasedAuthenticatedWriteAccess = 0x20;
inline constexpr u32 kAppendWrite = 0x40;
inline constexpr u32 kAttributesMask = kNonVolatile | kBootServiceAccess | kRuntimeAccess | kHardwareErrorRecord |
                                       kTimeBasedAuthenticatedWriteAccess | kAppendWrite;
inline constexpr u32 kAuthenticated = kAuthenticatedWriteAccess | kTimeBasedAuthenticatedWriteAccess;

constexpr bool runtime_only(u32 attributes) noexcept {
  return (attributes & (kRuntimeAccess | kBootServiceAccess)) == kRuntimeAccess;
}
/// What SetVariable wants at runtime.
constexpr bool writable_at_runtime(u32 attributes) noexcept {
  return (attributes & (kRuntimeAccess | kNonVolatile)) == (kRuntimeAccess | kNonVolatile);
}
/// No attribute, or no data: SetVariable deletes.
constexpr bool deletes(u32 attributes, u64 bytes) noexcept {
  return (bytes == 0 && (attributes & kAppendWrite) == 0) || (attributes & (kBootServiceAccess | kRuntimeAccess)) == 0;
}

/// SetVariable: every combination that it refuses is InvalidParameter, but for the old kind of authentication with
/// attributes that are wrong besides, which is Unsupported.
constexpr Status check_set_attributes(u32 attributes) noexcept {
  if ((attributes & ~(kAttributesMask | kAuthenticatedWriteAccess)) != 0) {
    return Status::InvalidParameter;
  }
  if (runtime_only(attributes) || (attributes & kAttributesMask) == kNonVolatile) {
    return (attributes & kAuthenticatedWriteAccess) != 0 ? Status::Unsupported : Status::InvalidParameter;
  }
  return (attributes & (kAuthenticated | kHardwareErrorRecord)) != 0 ? Status::InvalidParameter : Status::Success;
}

/// QueryVariableInfo: InvalidParameter for what no variable can have, Unsupported for what none has here.
constexpr Status check_query_attributes(u32 attributes, bool runtime) noexcept {
  if (attributes == 0) {
    return Status::InvalidParameter;
  }
  if ((attributes & kAuthenticatedWriteAccess) != 0 || (attributes & kAttributesMask) == 0) {
    return Status::Unsupported;
  }
  bool const error_record_alone = (attributes & (kNonVolatile | kHardwareErrorRecord)) == kHardwareErrorRecord;
  if ((attributes & kAttributesMask) == kNonVolatile || runtime_only(attributes) || error_record_alone ||
      (runtime && (attributes & kRuntimeAccess) == 0)) {
    return Status::InvalidParameter;
  }
  return (attributes & (kAuthenticated | kHardwareErrorRecord)) != 0 ? Status::Unsupported : Status::Success;
}

}  // namespace mm::variable
