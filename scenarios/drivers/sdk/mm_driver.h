/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#pragma once

/* What an MM driver in C needs: the types of PI 1.8 vol. 4 under their own names, and the system calls under the names
   of edk2's BaseLib and IoLib. A driver in C++ uses mm_driver.hpp. The flavour (standard: leaves by RET; supervised:
   leaves by a far call through R15) is chosen by mm_add_driver, the source is the same. */

#include <stddef.h>
#include <stdint.h>

#define EFIAPI __attribute__((ms_abi))

typedef uint8_t UINT8;
typedef uint16_t UINT16;
typedef uint32_t UINT32;
typedef uint64_t UINT64;
typedef uint64_t UINTN;
typedef uint16_t CHAR16;
typedef uint8_t BOOLEAN;
typedef UINTN EFI_STATUS;
typedef UINT64 EFI_PHYSICAL_ADDRESS;
typedef void* EFI_HANDLE; /* never dereferenced */

typedef struct {
  UINT32 Data1;
  UINT16 Data2;
  UINT16 Data3;
  UINT8 Data4[8];
} EFI_GUID;

#define EFI_SUCCESS 0
#define EFI_ERROR_CODE(Number) (0x8000000000000000ull | (Number))
#define EFI_LOAD_ERROR EFI_ERROR_CODE(1)
#define EFI_INVALID_PARAMETER EFI_ERROR_CODE(2)
#define EFI_UNSUPPORTED EFI_ERROR_CODE(3)
#define EFI_BAD_BUFFER_SIZE EFI_ERROR_CODE(4)
#define EFI_BUFFER_TOO_SMALL EFI_ERROR_CODE(5)
#define EFI_NOT_READY EFI_ERROR_CODE(6)
#define EFI_DEVICE_ERROR EFI_ERROR_CODE(7)
#define EFI_WRITE_PROTECTED EFI_ERROR_CODE(8)
#define EFI_OUT_OF_RESOURCES EFI_ERROR_CODE(9)
#define EFI_NOT_FOUND EFI_ERROR_CODE(14)
#define EFI_ACCESS_DENIED EFI_ERROR_CODE(15)
#define EFI_ALREADY_STARTED EFI_ERROR_CODE(20)
#define EFI_SECURITY_VIOLATION EFI_ERROR_CODE(26)
#define EFI_ERROR(Status) (((Status) >> 63) != 0)
/* What an MMI handler returns besides (PI 1.8 vol. 4, MmiManage). */
#define EFI_INTERRUPT_PENDING 0xA000000000000000ull
#define EFI_WARN_INTERRUPT_SOURCE_PENDING 0x2000000000000000ull
#define EFI_WARN_INTERRUPT_SOURCE_QUIESCED 0x2000000000000001ull

/* EFI_MEMORY_TYPE, EFI_ALLOCATE_TYPE, EFI_LOCATE_SEARCH_TYPE, EFI_INTERFACE_TYPE, EFI_MM_IO_WIDTH: those that matter.
 */
enum { EfiRuntimeServicesCode = 5, EfiRuntimeServicesData = 6 };
enum { AllocateAnyPages = 0, AllocateMaxAddress = 1, AllocateAddress = 2 };
enum { AllHandles = 0, ByRegisterNotify = 1, ByProtocol = 2 };
enum { EFI_NATIVE_INTERFACE = 0 };
enum { MM_IO_UINT8 = 0, MM_IO_UINT16 = 1, MM_IO_UINT32 = 2 };

typedef struct EFI_MM_SYSTEM_TABLE EFI_MM_SYSTEM_TABLE;
typedef struct EFI_MM_IO_ACCESS EFI_MM_IO_ACCESS;

/* CommBuffer is the supervisor's copy of the message, in MMRAM: it does not change under the handler. *CommBufferSize
   is the bytes of the message on entry and those of the reply on return. Both are NULL for a root handler. */
typedef EFI_STATUS(EFIAPI* EFI_MM_HANDLER_ENTRY_POINT)(EFI_HANDLE DispatchHandle, void const* Context, void* CommBuffer,
                                                       UINTN* CommBufferSize);
typedef EFI_STATUS(EFIAPI* EFI_MM_NOTIFY_FN)(const EFI_GUID* Protocol, void* Interface, EFI_HANDLE Handle);
typedef void(EFIAPI* EFI_AP_PROCEDURE)(void* Buffer);
typedef EFI_STATUS(EFIAPI* EFI_MM_CPU_IO)(const EFI_MM_IO_ACCESS* This, UINTN Width, UINT64 Address, UINTN Count,
                                          void* Buffer);

typedef struct {
  EFI_GUID VendorGuid;
  void* VendorTable;
} EFI_CONFIGURATION_TABLE;

struct EFI_MM_IO_ACCESS {
  struct {
    EFI_MM_CPU_IO Read;
    EFI_MM_CPU_IO Write;
  } Mem, Io;
};

struct EFI_MM_SYSTEM_TABLE {
  struct {
    UINT64 Signature;
    UINT32 Revision;
    UINT32 HeaderSize;
    UINT32 CRC32;
    UINT32 Reserved;
  } Hdr;
  CHAR16* MmFirmwareVendor;
  UINT32 MmFirmwareRevision;
  EFI_STATUS(EFIAPI* MmInstallConfigurationTable)
  (const EFI_MM_SYSTEM_TABLE* SystemTable, const EFI_GUID* Guid, void* Table, UINTN TableSize);
  EFI_MM_IO_ACCESS MmIo;
  EFI_STATUS(EFIAPI* MmAllocatePool)(UINT32 PoolType, UINTN Size, void** Buffer);
  EFI_STATUS(EFIAPI* MmFreePool)(void* Buffer);
  EFI_STATUS(EFIAPI* MmAllocatePages)
  (UINT32 Type, UINT32 MemoryType, UINTN Pages, EFI_PHYSICAL_ADDRESS* Memory);
  EFI_STATUS(EFIAPI* MmFreePages)(EFI_PHYSICAL_ADDRESS Memory, UINTN Pages);
  EFI_STATUS(EFIAPI* MmStartupThisAp)(EFI_AP_PROCEDURE Procedure, UINTN CpuNumber, void* ProcArguments);
  UINTN CurrentlyExecutingCpu;
  UINTN NumberOfCpus;
  UINTN* CpuSaveStateSize;
  void** CpuSaveState;
  UINTN NumberOfTableEntries;
  EFI_CONFIGURATION_TABLE* MmConfigurationTable;
  EFI_STATUS(EFIAPI* MmInstallProtocolInterface)
  (EFI_HANDLE* Handle, const EFI_GUID* Protocol, UINT32 InterfaceType, void* Interface);
  EFI_STATUS(EFIAPI* MmUninstallProtocolInterface)(EFI_HANDLE Handle, const EFI_GUID* Protocol, void* Interface);
  EFI_STATUS(EFIAPI* MmHandleProtocol)(EFI_HANDLE Handle, const EFI_GUID* Protocol, void** Interface);
  EFI_STATUS(EFIAPI* MmRegisterProtocolNotify)
  (const EFI_GUID* Protocol, EFI_MM_NOTIFY_FN Function, void** Registration);
  EFI_STATUS(EFIAPI* MmLocateHandle)
  (UINT32 SearchType, const EFI_GUID* Protocol, void* SearchKey, UINTN* BufferSize, EFI_HANDLE* Buffer);
  EFI_STATUS(EFIAPI* MmLocateProtocol)(const EFI_GUID* Protocol, void* Registration, void** Interface);
  EFI_STATUS(EFIAPI* MmiManage)
  (const EFI_GUID* HandlerType, void const* Context, void* CommBuffer, UINTN* CommBufferSize);
  EFI_STATUS(EFIAPI* MmiHandlerRegister)
  (EFI_MM_HANDLER_ENTRY_POINT Handler, const EFI_GUID* HandlerType, EFI_HANDLE* DispatchHandle);
  EFI_STATUS(EFIAPI* MmiHandlerUnRegister)(EFI_HANDLE DispatchHandle);
};

/* The driver's entry point. Each driver defines it. An error unloads the driver. */
EFI_STATUS mm_driver_main(EFI_HANDLE ImageHandle, EFI_MM_SYSTEM_TABLE* MmSystemTable);

/* SYSCALL: RAX = index, RDX, R8, R9; returns RAX. What the policy refuses does not return: it counts as a fault. */
UINT64 EFIAPI mm_driver_syscall(UINT64 Index, UINT64 A, UINT64 B, UINT64 C);

static inline UINT64 AsmReadMsr64(UINT32 Index) { return mm_driver_syscall(0, Index, 0, 0); }
static inline UINT64 AsmWriteMsr64(UINT32 Index, UINT64 Value) {
  mm_driver_syscall(1, Index, Value, 0);
  return Value;
}
static inline UINT8 IoRead8(UINTN Port) { return (UINT8)mm_driver_syscall(3, Port, MM_IO_UINT8, 0); }
static inline UINT16 IoRead16(UINTN Port) { return (UINT16)mm_driver_syscall(3, Port, MM_IO_UINT16, 0); }
static inline UINT32 IoRead32(UINTN Port) { return (UINT32)mm_driver_syscall(3, Port, MM_IO_UINT32, 0); }
static inline UINT8 IoWrite8(UINTN Port, UINT8 Value) {
  mm_driver_syscall(4, Port, MM_IO_UINT8, Value);
  return Value;
}
static inline UINT16 IoWrite16(UINTN Port, UINT16 Value) {
  mm_driver_syscall(4, Port, MM_IO_UINT16, Value);
  return Value;
}
static inline UINT32 IoWrite32(UINTN Port, UINT32 Value) {
  mm_driver_syscall(4, Port, MM_IO_UINT32, Value);
  return Value;
}
