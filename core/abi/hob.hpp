// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/guids.hpp"

/// HOB layouts (PI 1.8 vol. 3) and their payloads (core/abi/ABI.md 5). Byte-exact.
namespace mm::abi {

enum class HobType : u16 {
  Handoff = 1,
  MemoryAllocation = 2,
  ResourceDescriptor = 3,
  GuidExtension = 4,
  Fv = 5,
  Cpu = 6,
  ResourceDescriptor2 = 0x0D,
  Unused = 0xFFFE,
  EndOfHobList = 0xFFFF,
};

struct HobHeader {
  u16 type = 0;
  u16 length = 0;  ///< includes this header, multiple of 8
  u32 reserved = 0;
};
static_assert(sizeof(HobHeader) == 8);

/// EFI_HOB_HANDOFF_INFO_TABLE (PHIT), always first.
struct HobHandoff {
  HobHeader header{static_cast<u16>(HobType::Handoff), 56, 0};
  u32 version = 9;
  u32 boot_mode = 0;
  u64 memory_top = 0;
  u64 memory_bottom = 0;
  u64 free_memory_top = 0;
  u64 free_memory_bottom = 0;
  u64 end_of_hob_list = 0;
};
static_assert(sizeof(HobHandoff) == 56);

struct HobMemoryAllocation {
  HobHeader header{static_cast<u16>(HobType::MemoryAllocation), 48, 0};
  Guid name;
  u64 base = 0;
  u64 length = 0;
  u32 memory_type = 0;
  u32 reserved = 0;
};
static_assert(sizeof(HobMemoryAllocation) == 48);

/// A HobMemoryAllocation that goes on.
struct HobMemoryAllocationModule {
  HobHeader header{static_cast<u16>(HobType::MemoryAllocation), 72, 0};
  Guid name;
  u64 base = 0;
  u64 length = 0;
  u32 memory_type = 0;
  u32 reserved = 0;
  Guid module_name;
  u64 entry_point = 0;
};
static_assert(sizeof(HobMemoryAllocationModule) == 72);

struct HobResourceDescriptor {
  HobHeader header{static_cast<u16>(HobType::ResourceDescriptor), 48, 0};
  Guid owner;
  u32 resource_type = 0;  ///< 0 system memory, 1 MMIO, 2 I/O, 3 firmware device, 5 reserved
  u32 attributes = 0;
  u64 physical_start = 0;
  u64 resource_length = 0;
};
static_assert(sizeof(HobResourceDescriptor) == 48);
inline constexpr u32 kResourceIo = 2;
inline constexpr u32 kResourceIoReserved = 6;

struct HobResourceDescriptor2 {
  HobResourceDescriptor v1{{static_cast<u16>(HobType::ResourceDescriptor2), 56, 0}, {}, 0, 0, 0, 0};
  u64 attributes = 0;  ///< EFI_MEMORY_*: how it can be cached, and what protects it
};
static_assert(sizeof(HobResourceDescriptor2) == 56);

/// EFI_HOB_GUID_TYPE; the payload follows at byte 24.
struct HobGuid {
  HobHeader header{static_cast<u16>(HobType::GuidExtension), 24, 0};
  Guid name;
};
static_assert(sizeof(HobGuid) == 24);

struct HobFv {
  HobHeader header{static_cast<u16>(HobType::Fv), 24, 0};
  u64 base = 0;
  u64 length = 0;
};
static_assert(sizeof(HobFv) == 24);

struct HobCpu {
  HobHeader header{static_cast<u16>(HobType::Cpu), 16, 0};
  u8 size_of_memory_space = 36;
  u8 size_of_io_space = 16;
  u8 reserved[6] = {};
};
static_assert(sizeof(HobCpu) == 16);

/// Payload of gMmCommonRegionHobGuid (supervisor channel, type 0).
struct MmCommonRegion {
  u64 type = 0;
  u64 addr = 0;
  u64 number_of_pages = 0;
  u64 status_region_addr = 0;
};
static_assert(sizeof(MmCommonRegion) == 32);

/// Payload of gMmCommBufferHobGuid (user channel).
struct MmCommBuffer {
  u64 physical_start = 0;
  u64 number_of_pages = 0;
  u64 status = 0;
};
static_assert(sizeof(MmCommBuffer) == 24);

/// MM_PROT_REGION_HOB, payload of gMmProtectedRegionHobGuid.
struct MmProtectedRegion {
  u64 type = 0;
  u64 addr = 0;
  u64 number_of_pages = 0;
};
static_assert(sizeof(MmProtectedRegion) == 24);
inline constexpr u64 kProtectedIommu = 0;  ///< the other type, 1, is a secure BIO

/// EFI_MMRAM_DESCRIPTOR. The block HOB payload is u32 count, u32 pad, then these.
struct MmramDescriptor {
  u64 physical_start = 0;
  u64 cpu_start = 0;
  u64 physical_size = 0;
  u64 region_state = 0;
};
static_assert(sizeof(MmramDescriptor) == 32);
inline constexpr u64 kMmramClosed = 2;
inline constexpr u64 kMmramLocked = 4;
inline constexpr u64 kMmramCacheable = 8;
inline constexpr u64 kMmramAllocated = 0x10;

/// MM_SUPV_DEPEX_HOB_DATA header; `length` bytes of expression follow.
struct DepexHobData {
  Guid name;
  u64 length = 0;
};
static_assert(sizeof(DepexHobData) == 24);

/// MM_SUPV_PASS_DOWN_HOB_DATA, revision 2.
struct PassDown {
  u32 revision = 2;
  u32 reserved = 0;
  u64 cpl3_stack_base = 0;
  u64 cpl3_per_core_stack_size = 0;
  u64 smbase = 0;          ///< address of u64[number of CPUs]
  u64 mm_initialized = 0;  ///< address of u8[number of CPUs]
  u64 policy = 0;
  u64 policy_size = 0;
  u64 mmi_entry_size = 0;
};
static_assert(sizeof(PassDown) == 64);

/// MP_INFORMATION_HOB_DATA header; EFI_PROCESSOR_INFORMATION entries (48 bytes each) follow at byte 16.
struct MpInformationHeader {
  u64 number_of_processors = 0;
  u64 number_of_enabled_processors = 0;
};
struct ProcessorInformation {
  u64 processor_id = 0;  ///< APIC ID
  u32 status_flag = 0;   ///< 1 BSP, 2 enabled, 4 healthy
  u8 location[12] = {};
  u8 extended[24] = {};
};
static_assert(sizeof(ProcessorInformation) == 48);

}  // namespace mm::abi
