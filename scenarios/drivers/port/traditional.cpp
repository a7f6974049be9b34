// SPDX-License-Identifier: BSD-2-Clause-Patent
// PortBefore (GUID ..00A0): a traditional MM driver as the port page begins with. It is there to be scanned and does
// not run here: its entry point is given EFI_SYSTEM_TABLE and asks DXE for everything.

#include "scenarios/drivers/sdk/mm_driver.hpp"

extern "C" {
mm::u64 read_msr(mm::u64 msr) noexcept;
void write_port(mm::u64 port, mm::u64 value) noexcept;
}

namespace {

using namespace mm;

constexpr Guid kHandler = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00A0"_guid;
constexpr Guid kSmmBase2 = "F4CCBFB7-F6E0-47FD-9DD4-10A8F150C191"_guid;
constexpr Guid kPcd = "11B34006-D85B-4D0A-A290-D5A571310EF7"_guid;
constexpr u64 kPlatformIdMsr = 0x17;
constexpr u64 kBoardIdToken = 0x1234;

struct BootServices {
  u8 before[0x140];
  Status(MM_EFIAPI* locate_protocol)(Guid const*, void*, void**);
};
struct RuntimeServices {
  u8 before[0x68];
  void(MM_EFIAPI* reset_system)(u32 type, Status, u64 bytes, void const* data);
};
struct SystemTable {
  u8 before[0x58];
  RuntimeServices* runtime_services;
  BootServices* boot_services;
};
struct SmmBase2 {
  void* in_smm;
  Status(MM_EFIAPI* get_smst_location)(SmmBase2 const*, driver::MmSystemTable**);
};
struct Pcd {
  u8 before[0x20];
  u32(MM_EFIAPI* get32)(u64 token);
};

RuntimeServices* g_runtime = nullptr;
Pcd* g_pcd = nullptr;

Status MM_EFIAPI on_message(driver::Handle, void const*, void* buffer, u64* size) {
  write_port(0x80, 0x5A);
  u32 const board = g_pcd->get32(kBoardIdToken);
  if (board == 0) {
    g_runtime->reset_system(0, Status::DeviceError, 0, nullptr);
  }
  driver::put(buffer, 0, read_msr(kPlatformIdMsr));
  driver::put(buffer, 8, u64{board});
  *size = 16;
  return Status::Success;
}

}  // namespace

Status mm_driver_main(driver::Handle, driver::MmSystemTable* table) noexcept {
  auto const* const system = driver::at<SystemTable const>(user::address_of(table));
  BootServices const* const boot = system->boot_services;
  g_runtime = system->runtime_services;
  void* base = nullptr;
  void* pcd = nullptr;
  if (boot->locate_protocol(&kSmmBase2, nullptr, &base) != Status::Success ||
      boot->locate_protocol(&kPcd, nullptr, &pcd) != Status::Success) {
    return Status::Unsupported;
  }
  g_pcd = static_cast<Pcd*>(pcd);
  driver::MmSystemTable* smst = nullptr;
  auto const* const smm = static_cast<SmmBase2 const*>(base);
  if (auto const status = smm->get_smst_location(smm, &smst); status != Status::Success) {
    return status;
  }
  driver::Handle dispatch = 0;
  return smst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
