/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#pragma once

/* The words of an edk2 module over mm_driver.h: types and modifiers of Base.h, BaseMemoryLib, DebugLib, gMmst. A C file
   of a module that uses no more than these is compiled as it stands, with this line in place of its includes: #include
   "scenarios/drivers/sdk/mm_edk2.h" MM_DRIVER_ENTRY(MyDriverEntryPoint) MM_DRIVER_ENTRY stands in one file of a driver:
   it defines gMmst. */

#include "scenarios/drivers/sdk/mm_driver.h"

#define IN
#define OUT
#define OPTIONAL
#define CONST const
#define STATIC static
#define VOID void
#define TRUE ((BOOLEAN)1)
#define FALSE ((BOOLEAN)0)
typedef int8_t INT8;
typedef int16_t INT16;
typedef int32_t INT32;
typedef int64_t INT64;
typedef int64_t INTN;
typedef char CHAR8;
typedef EFI_GUID GUID;
typedef EFI_STATUS RETURN_STATUS;

#define EFI_VOLUME_CORRUPTED EFI_ERROR_CODE(10)
#define EFI_VOLUME_FULL EFI_ERROR_CODE(11)
#define EFI_NO_MEDIA EFI_ERROR_CODE(12)
#define EFI_MEDIA_CHANGED EFI_ERROR_CODE(13)
#define EFI_NO_RESPONSE EFI_ERROR_CODE(16)
#define EFI_NO_MAPPING EFI_ERROR_CODE(17)
#define EFI_TIMEOUT EFI_ERROR_CODE(18)
#define EFI_NOT_STARTED EFI_ERROR_CODE(19)
#define EFI_ABORTED EFI_ERROR_CODE(21)
#define EFI_PROTOCOL_ERROR EFI_ERROR_CODE(24)
#define EFI_INCOMPATIBLE_VERSION EFI_ERROR_CODE(25)
#define EFI_CRC_ERROR EFI_ERROR_CODE(27)
#define EFI_COMPROMISED_DATA EFI_ERROR_CODE(33)
#define RETURN_SUCCESS EFI_SUCCESS

#define ARRAY_SIZE(Array) (sizeof(Array) / sizeof((Array)[0]))
#define MIN(a, b) (((a) < (b)) ? (a) : (b))
#define MAX(a, b) (((a) > (b)) ? (a) : (b))
#define OFFSET_OF(Type, Field) offsetof(Type, Field)
#define BIT0 1u
#define SIZE_4KB 0x1000u
#define EFI_PAGE_SIZE SIZE_4KB
#define EFI_SIZE_TO_PAGES(Size) (((Size) >> 12) + (((Size) & 0xFFF) != 0 ? 1 : 0))
#define SIGNATURE_32(a, b, c, d) \
  ((UINT32)(UINT8)(a) | (UINT32)(UINT8)(b) << 8 | (UINT32)(UINT8)(c) << 16 | (UINT32)(UINT8)(d) << 24)

/* BaseMemoryLib. The compiler calls the mem* functions too; the SDK links them. */
void* memcpy(void* restrict Destination, void const* restrict Source, size_t Length);
void* memmove(void* Destination, void const* Source, size_t Length);
void* memset(void* Buffer, int Value, size_t Length);
int memcmp(void const* First, void const* Second, size_t Length);
static inline VOID* CopyMem(VOID* Destination, CONST VOID* Source, UINTN Length) {
  return memmove(Destination, Source, Length);
}
static inline VOID* SetMem(VOID* Buffer, UINTN Length, UINT8 Value) { return memset(Buffer, Value, Length); }
static inline VOID* ZeroMem(VOID* Buffer, UINTN Length) { return memset(Buffer, 0, Length); }
static inline INTN CompareMem(CONST VOID* First, CONST VOID* Second, UINTN Length) {
  return memcmp(First, Second, Length);
}
static inline BOOLEAN CompareGuid(CONST GUID* First, CONST GUID* Second) {
  return (BOOLEAN)(memcmp(First, Second, sizeof(GUID)) == 0);
}
static inline GUID* CopyGuid(GUID* Destination, CONST GUID* Source) {
  memmove(Destination, Source, sizeof(GUID));
  return Destination;
}

/* MmServicesTableLib, filled before the entry point runs. */
extern EFI_MM_SYSTEM_TABLE* gMmst;

/* MemoryAllocationLib: NULL when there is no memory. */
static inline VOID* AllocatePool(UINTN Size) {
  VOID* Buffer = NULL;
  return EFI_ERROR(gMmst->MmAllocatePool(EfiRuntimeServicesData, Size, &Buffer)) ? NULL : Buffer;
}
static inline VOID* AllocateZeroPool(UINTN Size) {
  VOID* Buffer = AllocatePool(Size);
  return Buffer == NULL ? NULL : ZeroMem(Buffer, Size);
}
static inline VOID FreePool(VOID* Buffer) { gMmst->MmFreePool(Buffer); }

/* DebugLib: text goes to the serial port at 0x3F8, which the default policy allows; `mmsim send -v` shows it. Of the
   formats %a %c %d %u %x %X %p %r %g and %%, with l, 0 and a width. -DMDEPKG_NDEBUG removes it. */
#define DEBUG_INIT 0x00000001
#define DEBUG_WARN 0x00000002
#define DEBUG_INFO 0x00000040
#define DEBUG_VERBOSE 0x00400000
#define DEBUG_ERROR 0x80000000
#define EFI_D_INFO DEBUG_INFO
#define EFI_D_ERROR DEBUG_ERROR
VOID DebugPrint(UINTN ErrorLevel, CONST CHAR8* Format, ...);
#ifdef MDEPKG_NDEBUG
#define DEBUG(Expression)
#define ASSERT(Expression) ((void)sizeof((Expression) ? 1 : 0))
#else
#define DEBUG(Expression) DebugPrint Expression
#define ASSERT(Expression)                                                                  \
  do {                                                                                      \
    if (!(Expression)) {                                                                    \
      DebugPrint(DEBUG_ERROR, "ASSERT %a(%d): %a\n", __FILE_NAME__, __LINE__, #Expression); \
      __builtin_trap(); /* #UD: the machine contains the driver */                          \
    }                                                                                       \
  } while (0)
#endif
#define ASSERT_EFI_ERROR(Status) ASSERT(!EFI_ERROR(Status))

/* Once in a driver: what the header declares, and the entry point of its INF file. */
#define MM_DRIVER_ENTRY(EntryPoint)                                                         \
  EFI_STATUS EFIAPI EntryPoint(EFI_HANDLE ImageHandle, EFI_MM_SYSTEM_TABLE* MmSystemTable); \
  EFI_MM_SYSTEM_TABLE* gMmst;                                                               \
  EFI_STATUS mm_driver_main(EFI_HANDLE ImageHandle, EFI_MM_SYSTEM_TABLE* MmSystemTable) {   \
    gMmst = MmSystemTable;                                                                  \
    return EntryPoint(ImageHandle, MmSystemTable);                                          \
  }
