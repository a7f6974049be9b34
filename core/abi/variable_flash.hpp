// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/guid.hpp"

/// Where firmware keeps its variables (MdeModulePkg, Guid/VariableFlashInfo.h).
namespace mm::abi {

inline constexpr Guid kVariableFlashInfoHobGuid = "5D11C653-8154-4AC3-A8C2-FBA2892020FC"_guid;

/// VARIABLE_FLASH_INFO, the payload of gVariableFlashInfoHobGuid. Addresses and bytes.
struct VariableFlashInfo {
  u32 version = 1;
  u32 reserved = 0;
  u64 variable_base = 0;
  u64 variable_bytes = 0;
  u64 spare_base = 0;
  u64 spare_bytes = 0;
  u64 working_base = 0;
  u64 working_bytes = 0;
};
static_assert(sizeof(VariableFlashInfo) == 56);

}  // namespace mm::abi
