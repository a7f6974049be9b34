// SPDX-License-Identifier: BSD-2-Clause-Patent
// PlatformUser does at its entry what edk2's drivers do: takes pool blocks of more than 64 KiB, puts its own functions
// over MmIo of the system table, and looks for the HOB list. Handler GUID ..0060: the message is a GUID; the reply is
// the payload of each GUID HOB of that name, one behind the other.

#include "core/user/hob_list.hpp"
#include "scenarios/drivers/sdk/mm_driver.hpp"

using namespace mm;

namespace {

constexpr Guid kHandler = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0060"_guid;
constexpr u64 kBlocks = 4;
constexpr u64 kBlockBytes = (64 << 10) + 24;

u64 g_hob_list = 0;

Status MM_EFIAPI port_io(void const*, u64, u64, u64, void*) { return Status::Success; }

Status take_memory(driver::MmSystemTable& mmst) {
  for (u64 i = 0; i < kBlocks; ++i) {
    void* block = nullptr;
    Status const status = mmst.allocate_pool(user::kRuntimeServicesData, kBlockBytes, &block);
    if (status != Status::Success) {
      return status;
    }
    __builtin_memset(block, 0xFF, kBlockBytes);
  }
  return Status::Success;
}

Status MM_EFIAPI on_message(driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < sizeof(Guid)) {
    return Status::InvalidParameter;
  }
  auto const wanted = driver::get<Guid>(buffer);
  u64 const room = *size;
  u64 done = 0;
  user::for_each_hob(g_hob_list, [&](u64 hob, abi::HobHeader const& header) {
    u64 const bytes = header.length - sizeof(abi::HobGuid);
    if (user::is_guid_hob(hob, wanted, 0) && bytes <= room - done) {
      __builtin_memcpy(static_cast<u8*>(buffer) + done, user::at<void>(hob + sizeof(abi::HobGuid)), bytes);
      done += bytes;
    }
  });
  *size = done;
  return Status::Success;
}

}  // namespace

Status mm_driver_main(driver::Handle, driver::MmSystemTable* mmst) noexcept {
  Status const status = take_memory(*mmst);
  if (status != Status::Success) {
    return status;
  }
  g_hob_list = driver::hob_list(*mmst);
  if (g_hob_list == 0) {
    return Status::NotFound;
  }
  mmst->mem_read = mmst->mem_write = mmst->io_read = mmst->io_write = port_io;
  driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
