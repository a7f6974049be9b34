// SPDX-License-Identifier: BSD-2-Clause-Patent
// ImageUser (GUID ..00A2): depends on EFI_LOADED_IMAGE_PROTOCOL and uses it in its entry point as edk2's entry point
// with an unload function does: it writes through the pointer whatever the status was. Reply: u64 status of
// HandleProtocol, whether the image covers this code, and whether the unload function stayed.

#include "core/user/loaded_image.hpp"
#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

using namespace mm;

constexpr Guid kHandler = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00A2"_guid;
user::LoadedImageProtocol* g_image = nullptr;
Status g_status = Status::NotStarted;

Status MM_EFIAPI unload(driver::Handle) { return Status::Success; }
u64 address_of_unload() noexcept { return reinterpret_cast<u64>(&unload); }

Status MM_EFIAPI on_message(driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < 3 * sizeof(u64)) {
    return Status::InvalidParameter;
  }
  u64 const here = address_of_unload();
  bool const covers = here >= g_image->image_base && here - g_image->image_base < g_image->image_size;
  driver::put(buffer, 0, static_cast<u64>(g_status));
  driver::put(buffer, sizeof(u64), u64{covers});
  driver::put(buffer, 2 * sizeof(u64), u64{g_image->unload == here});
  *size = 3 * sizeof(u64);
  return Status::Success;
}

}  // namespace

mm::Status mm_driver_main(mm::driver::Handle image, mm::driver::MmSystemTable* mmst) noexcept {
  void* interface = nullptr;
  g_status = mmst->handle_protocol(image, &guids::gEfiLoadedImageProtocolGuid, &interface);
  g_image = static_cast<user::LoadedImageProtocol*>(interface);
  g_image->unload = address_of_unload();
  driver::Handle dispatch = 0;
  return mmst->mmi_handler_register(on_message, &kHandler, &dispatch);
}
