/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Counts: the reply to a message of 8 bytes is its number plus one. An error that the sender shall see belongs into the
   reply: of a handler's status only success leaves MM as it is, an error becomes EFI_NOT_FOUND (PI 1.8 vol. 4,
   MmiManage). */

#include "scenarios/drivers/sdk/mm_driver.h"

static const EFI_GUID mHandlerGuid = {0x11111111, 0x2222, 0x3333, {0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55}};

static EFI_STATUS EFIAPI OnMessage(EFI_HANDLE DispatchHandle, void const* Context, void* CommBuffer,
                                   UINTN* CommBufferSize) {
  (void)DispatchHandle;
  (void)Context;
  if (CommBuffer == NULL || CommBufferSize == NULL || *CommBufferSize != sizeof(UINT64)) {
    return EFI_INVALID_PARAMETER;
  }
  *(UINT64*)CommBuffer += 1;
  return EFI_SUCCESS;
}

EFI_STATUS mm_driver_main(EFI_HANDLE ImageHandle, EFI_MM_SYSTEM_TABLE* MmSystemTable) {
  EFI_HANDLE dispatch = NULL;
  (void)ImageHandle;
  return MmSystemTable->MmiHandlerRegister(OnMessage, &mHandlerGuid, &dispatch);
}
