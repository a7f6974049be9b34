// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/guid.hpp"
#include "core/user/ring3.hpp"

/// EFI_MM_SYSTEM_TABLE and the function types of its services (PI 1.8 vol. 4; core/user/RING3.md 1).
namespace mm::user {

/// EFI_HANDLE: an integer of the user core that is never dereferenced. 0 is "no handle".
using Handle = u64;

using MmiHandlerFn = Status(MM_EFIAPI*)(Handle dispatch, void const* context, void* buffer, u64* size);
using NotifyFn = Status(MM_EFIAPI*)(Guid const* protocol, void* interface, Handle handle);
using ApProcedureFn = void(MM_EFIAPI*)(void* argument);

struct MmSystemTable;

/// EFI_CONFIGURATION_TABLE.
struct ConfigurationTable {
  Guid guid;
  void* table = nullptr;
};
static_assert(sizeof(ConfigurationTable) == 24);

using InstallConfigurationTableFn = Status(MM_EFIAPI*)(MmSystemTable const*, Guid const*, void*, u64);
using MmIoFn = Status(MM_EFIAPI*)(void const*, u64 width, u64 address, u64 count, void* buffer);
using AllocatePoolFn = Status(MM_EFIAPI*)(u32 type, u64 size, void** buffer);
using FreePoolFn = Status(MM_EFIAPI*)(void*);
using AllocatePagesFn = Status(MM_EFIAPI*)(u32 allocate_type, u32 memory_type, u64 pages, u64* memory);
using FreePagesFn = Status(MM_EFIAPI*)(u64 memory, u64 pages);
using StartupThisApFn = Status(MM_EFIAPI*)(ApProcedureFn, u64 cpu, void* argument);
using InstallProtocolFn = Status(MM_EFIAPI*)(Handle*, Guid const*, u32 type, void* interface);
using UninstallProtocolFn = Status(MM_EFIAPI*)(Handle, Guid const*, void* interface);
using HandleProtocolFn = Status(MM_EFIAPI*)(Handle, Guid const*, void** interface);
using RegisterNotifyFn = Status(MM_EFIAPI*)(Guid const*, NotifyFn, void** registration);
using LocateHandleFn = Status(MM_EFIAPI*)(u32 search, Guid const*, void* key, u64* size, Handle* buffer);
using LocateProtocolFn = Status(MM_EFIAPI*)(Guid const*, void* registration, void** interface);
using MmiManageFn = Status(MM_EFIAPI*)(Guid const*, void const* context, void* buffer, u64* size);
using MmiHandlerRegisterFn = Status(MM_EFIAPI*)(MmiHandlerFn, Guid const*, Handle* dispatch);
using MmiHandlerUnRegisterFn = Status(MM_EFIAPI*)(Handle dispatch);

/// EFI_MM_SYSTEM_TABLE. Drivers may cache its address and may replace the MmIo functions, so it stays writable and in
/// place.
struct MmSystemTable {
  u64 signature = kSignature;
  u32 revision = kRevision;
  u32 header_size = 240;
  u32 crc32 = 0;
  u32 reserved = 0;
  char16_t const* firmware_vendor = nullptr;
  u32 firmware_revision = 0;
  u32 padding = 0;
  InstallConfigurationTableFn install_configuration_table = nullptr;
  MmIoFn mem_read = nullptr;
  MmIoFn mem_write = nullptr;
  MmIoFn io_read = nullptr;
  MmIoFn io_write = nullptr;
  AllocatePoolFn allocate_pool = nullptr;
  FreePoolFn free_pool = nullptr;
  AllocatePagesFn allocate_pages = nullptr;
  FreePagesFn free_pages = nullptr;
  StartupThisApFn startup_this_ap = nullptr;
  u64 currently_executing_cpu = 0;
  u64 number_of_cpus = 0;
  u64 const* cpu_save_state_size = nullptr;
  void** cpu_save_state = nullptr;
  u64 number_of_table_entries = 0;
  ConfigurationTable* configuration_table = nullptr;
  InstallProtocolFn install_protocol = nullptr;
  UninstallProtocolFn uninstall_protocol = nullptr;
  HandleProtocolFn handle_protocol = nullptr;
  RegisterNotifyFn register_protocol_notify = nullptr;
  LocateHandleFn locate_handle = nullptr;
  LocateProtocolFn locate_protocol = nullptr;
  MmiManageFn mmi_manage = nullptr;
  MmiHandlerRegisterFn mmi_handler_register = nullptr;
  MmiHandlerUnRegisterFn mmi_handler_unregister = nullptr;

  static constexpr u64 kSignature = 0x54534D53;  ///< "SMST"
  static constexpr u32 kRevision = 0x00010050;   ///< PI 1.8
};
static_assert(sizeof(MmSystemTable) == 240);
static_assert(__builtin_offsetof(MmSystemTable, startup_this_ap) == 112);
static_assert(__builtin_offsetof(MmSystemTable, mmi_manage) == 216);

/// EFI_MM_CPU_PROTOCOL (PI 1.8 vol. 4, 4.3).
struct MmCpuProtocol {
  using AccessFn = Status(MM_EFIAPI*)(MmCpuProtocol const*, u64 width, u32 register_id, u64 cpu, void* buffer);
  AccessFn read_save_state = nullptr;
  AccessFn write_save_state = nullptr;
};
static_assert(sizeof(MmCpuProtocol) == 16);

/// SMM_EXCEPTION_TEST_PROTOCOL of Project Mu's UefiCpuPkg: protection tests ask for it before they fault on purpose.
struct MmExceptionTestProtocol {
  Status(MM_EFIAPI* enable_test_mode)() = nullptr;
};

/// The protocols that the core itself installs.
struct CoreProtocols {
  MmCpuProtocol cpu;
  MmExceptionTestProtocol exception_test;
};

inline constexpr u32 kRuntimeServicesCode = 5;  ///< EFI_MEMORY_TYPE
inline constexpr u32 kRuntimeServicesData = 6;
inline constexpr u32 kAllocateAnyPages = 0;  ///< EFI_ALLOCATE_TYPE
inline constexpr u32 kAllocateMaxAddress = 1;
inline constexpr u32 kAllocateAddress = 2;
inline constexpr u32 kSearchAllHandles = 0;  ///< EFI_LOCATE_SEARCH_TYPE
inline constexpr u32 kSearchByRegisterNotify = 1;
inline constexpr u32 kSearchByProtocol = 2;

}  // namespace mm::user
