// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/user/dispatcher.hpp"
#include "core/user/mmst.hpp"

namespace mm::user {

/// EFI_LOADED_IMAGE_PROTOCOL (UEFI 2.10, 9.1). A driver may write `unload`; nobody calls it, since nothing unloads a
/// driver of MM.
struct LoadedImageProtocol {
  u32 revision = kRevision;
  u32 padding0 = 0;
  u64 parent_handle = 0;
  u64 system_table = 0;  ///< EFI_SYSTEM_TABLE, which is not for MM
  u64 device_handle = 0;
  u64 file_path = 0;
  u64 reserved = 0;
  u32 load_options_size = 0;
  u32 padding1 = 0;
  u64 load_options = 0;
  u64 image_base = 0;
  u64 image_size = 0;
  u32 image_code_type = kRuntimeServicesCode;
  u32 image_data_type = kRuntimeServicesData;
  u64 unload = 0;

  static constexpr u32 kRevision = 0x1000;
};
static_assert(sizeof(LoadedImageProtocol) == 96);
static_assert(__builtin_offsetof(LoadedImageProtocol, image_base) == 64);
static_assert(__builtin_offsetof(LoadedImageProtocol, unload) == 88);

inline LoadedImageProtocol loaded_image_of(Driver const& driver) noexcept {
  LoadedImageProtocol image;
  image.image_base = driver.image.base;
  image.image_size = driver.image.size;
  return image;
}

}  // namespace mm::user
