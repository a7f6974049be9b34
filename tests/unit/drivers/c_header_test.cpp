// SPDX-License-Identifier: BSD-2-Clause-Patent
// The system table of C drivers is that of the user core, field by field.
#include <gtest/gtest.h>

#include "core/user/mmst.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
extern "C" {
#include "scenarios/drivers/sdk/mm_driver.h"
}
#pragma GCC diagnostic pop

namespace {

#define MM_SAME_PLACE(theirs, ours)                                                                \
  static_assert(offsetof(EFI_MM_SYSTEM_TABLE, theirs) == offsetof(mm::user::MmSystemTable, ours)); \
  static_assert(sizeof(EFI_MM_SYSTEM_TABLE::theirs) == sizeof(mm::user::MmSystemTable::ours))

static_assert(sizeof(EFI_MM_SYSTEM_TABLE) == sizeof(mm::user::MmSystemTable));
static_assert(offsetof(EFI_MM_SYSTEM_TABLE, MmIo) == offsetof(mm::user::MmSystemTable, mem_read));
MM_SAME_PLACE(MmFirmwareVendor, firmware_vendor);
MM_SAME_PLACE(MmFirmwareRevision, firmware_revision);
MM_SAME_PLACE(MmInstallConfigurationTable, install_configuration_table);
MM_SAME_PLACE(MmAllocatePool, allocate_pool);
MM_SAME_PLACE(MmFreePool, free_pool);
MM_SAME_PLACE(MmAllocatePages, allocate_pages);
MM_SAME_PLACE(MmFreePages, free_pages);
MM_SAME_PLACE(MmStartupThisAp, startup_this_ap);
MM_SAME_PLACE(CurrentlyExecutingCpu, currently_executing_cpu);
MM_SAME_PLACE(NumberOfCpus, number_of_cpus);
MM_SAME_PLACE(CpuSaveStateSize, cpu_save_state_size);
MM_SAME_PLACE(CpuSaveState, cpu_save_state);
MM_SAME_PLACE(NumberOfTableEntries, number_of_table_entries);
MM_SAME_PLACE(MmConfigurationTable, configuration_table);
MM_SAME_PLACE(MmInstallProtocolInterface, install_protocol);
MM_SAME_PLACE(MmUninstallProtocolInterface, uninstall_protocol);
MM_SAME_PLACE(MmHandleProtocol, handle_protocol);
MM_SAME_PLACE(MmRegisterProtocolNotify, register_protocol_notify);
MM_SAME_PLACE(MmLocateHandle, locate_handle);
MM_SAME_PLACE(MmLocateProtocol, locate_protocol);
MM_SAME_PLACE(MmiManage, mmi_manage);
MM_SAME_PLACE(MmiHandlerRegister, mmi_handler_register);
MM_SAME_PLACE(MmiHandlerUnRegister, mmi_handler_unregister);

TEST(CHeader, HasTheStatusCodesOfTheCore) {
  using mm::Status;
  struct Case {
    EFI_STATUS theirs;
    Status ours;
  };
  for (Case const c :
       {Case{EFI_SUCCESS, Status::Success}, Case{EFI_LOAD_ERROR, Status::LoadError},
        Case{EFI_INVALID_PARAMETER, Status::InvalidParameter}, Case{EFI_UNSUPPORTED, Status::Unsupported},
        Case{EFI_BAD_BUFFER_SIZE, Status::BadBufferSize}, Case{EFI_BUFFER_TOO_SMALL, Status::BufferTooSmall},
        Case{EFI_NOT_READY, Status::NotReady}, Case{EFI_DEVICE_ERROR, Status::DeviceError},
        Case{EFI_WRITE_PROTECTED, Status::WriteProtected}, Case{EFI_OUT_OF_RESOURCES, Status::OutOfResources},
        Case{EFI_NOT_FOUND, Status::NotFound}, Case{EFI_ACCESS_DENIED, Status::AccessDenied},
        Case{EFI_ALREADY_STARTED, Status::AlreadyStarted}, Case{EFI_SECURITY_VIOLATION, Status::SecurityViolation},
        Case{EFI_INTERRUPT_PENDING, Status::InterruptPending},
        Case{EFI_WARN_INTERRUPT_SOURCE_PENDING, Status::WarnInterruptSourcePending},
        Case{EFI_WARN_INTERRUPT_SOURCE_QUIESCED, Status::WarnInterruptSourceQuiesced}}) {
    EXPECT_EQ(c.theirs, static_cast<EFI_STATUS>(c.ours));
  }
}

}  // namespace
