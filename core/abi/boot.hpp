// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/guid.hpp"
#include "core/base/types.hpp"

/// What the runner tells a machine before it boots. fw_cfg files on QEMU (names below), arguments in the simulator.
namespace mm::abi {

inline constexpr char kFwCfgConfig[] = "opt/mm/config";  ///< one BootConfig
inline constexpr char kFwCfgFv[] = "opt/mm/fv";          ///< firmware volume: cores, policy, drivers
inline constexpr char kFwCfgSteps[] = "opt/mm/steps";    ///< encoded steps, core/steps/program.hpp
inline constexpr char kFwCfgHobs[] = "opt/mm/hobs";      ///< HOBs that the normal world's list has besides its own

enum class FaultPolicy : u32 { FailStop = 0, Contain = 1 };

inline constexpr u32 kBootConfigMagic = 0x4246'4D4D;  // 'MMFB'

struct BootConfig {
  u32 magic = kBootConfigMagic;
  u32 version = 1;
  u64 ram_bytes = 0;  ///< low RAM, TSEG included
  u64 tseg_bytes = 0;
  u32 cpus = 1;
  u32 fault_policy = 0;  ///< FaultPolicy
  u32 smap = 0;          ///< 1: CR4.SMAP in MM
  u32 strict_rsm = 0;    ///< 1: refuse an image with 0F AA at any offset of an executable section
  u64 fv_bytes = 0;
  u64 steps_bytes = 0;
  u64 hobs_bytes = 0;
};
static_assert(sizeof(BootConfig) == 64);

/// GUID HOB by which the loader hands the test options to the supervisor: payload TestOptions. Absent = defaults.
inline constexpr Guid kTestOptionsHobGuid = "9C0C4E2B-6F0E-4D6E-9B53-3B1C1E4D7A10"_guid;
struct TestOptions {
  u32 fault_policy = 0;
  u32 smap = 0;
};

}  // namespace mm::abi
