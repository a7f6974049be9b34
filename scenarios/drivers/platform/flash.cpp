// SPDX-License-Identifier: BSD-2-Clause-Patent
// PlatformFlash: EFI_FIRMWARE_VOLUME_BLOCK2_PROTOCOL (PI 1.8 vol. 3, 3.4.2) over the flash that
// gVariableFlashInfoHobGuid names, so that edk2's FaultTolerantWrite and Variable keep what they write. The flash
// begins with a volume.

#include "core/abi/variable_flash.hpp"
#include "core/user/hob_list.hpp"
#include "scenarios/drivers/platform/guids.hpp"
#include "scenarios/drivers/platform/nor_flash.hpp"
#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace platform_driver {
namespace {

using mm::Status;
using mm::u32;
using mm::abi::VariableFlashInfo;

constexpr u64 kEndOfList = ~u64{0};  ///< EFI_LBA_LIST_TERMINATOR

struct Fvb {
  Status(MM_EFIAPI* get_attributes)(Fvb const*, u32*) = nullptr;
  Status(MM_EFIAPI* set_attributes)(Fvb const*, u32*) = nullptr;
  Status(MM_EFIAPI* get_address)(Fvb const*, u64*) = nullptr;
  Status(MM_EFIAPI* get_block_size)(Fvb const*, u64 block, u64* bytes, u64* blocks) = nullptr;
  Status(MM_EFIAPI* read)(Fvb const*, u64 block, u64 offset, u64* bytes, u8* buffer) = nullptr;
  Status(MM_EFIAPI* write)(Fvb const*, u64 block, u64 offset, u64* bytes, u8* buffer) = nullptr;
  Status(MM_EFIAPI* erase)(Fvb const*, ...) = nullptr;
  mm::driver::Handle parent = 0;
};

constinit NorFlash g_flash;

/// A word of the volume header (PI 1.8 vol. 3, 3.2.1).
constexpr u64 kSignatureAt = 40;
constexpr u64 kAttributesAt = 44;
constexpr u32 kSignature = 0x4856465F;  ///< "_FVH"
u32 header_word(u64 offset) noexcept {
  u32 value = 0;
  g_flash.read(offset, &value, sizeof value);
  return value;
}

Status MM_EFIAPI get_attributes(Fvb const*, u32* attributes) {
  if (attributes == nullptr) {
    return Status::InvalidParameter;
  }
  *attributes = header_word(kAttributesAt);
  return Status::Success;
}

/// Nothing of it can be changed: the answer is what it is.
Status MM_EFIAPI set_attributes(Fvb const* self, u32* attributes) {
  u32 now = 0;
  get_attributes(self, &now);
  if (attributes == nullptr || *attributes != now) {
    return Status::InvalidParameter;
  }
  return Status::Success;
}

Status MM_EFIAPI get_address(Fvb const*, u64* address) {
  if (address == nullptr) {
    return Status::InvalidParameter;
  }
  *address = g_flash.base();
  return Status::Success;
}

Status MM_EFIAPI get_block_size(Fvb const*, u64 block, u64* bytes, u64* blocks) {
  if (bytes == nullptr || blocks == nullptr || block >= g_flash.blocks()) {
    return Status::InvalidParameter;
  }
  *bytes = NorFlash::kBlockBytes;
  *blocks = g_flash.blocks() - block;
  return Status::Success;
}

/// InvalidParameter: not in the volume, or nowhere. BadBufferSize: it was cut at the end of the block.
Status clip(u64 block, u64 offset, u64* bytes, u8 const* buffer) noexcept {
  if (bytes == nullptr || buffer == nullptr || block >= g_flash.blocks() || offset >= NorFlash::kBlockBytes) {
    return Status::InvalidParameter;
  }
  if (*bytes <= NorFlash::kBlockBytes - offset) {
    return Status::Success;
  }
  *bytes = NorFlash::kBlockBytes - offset;
  return Status::BadBufferSize;
}

Status MM_EFIAPI read(Fvb const*, u64 block, u64 offset, u64* bytes, u8* buffer) {
  Status const status = clip(block, offset, bytes, buffer);
  if (status != Status::InvalidParameter) {
    g_flash.read(block * NorFlash::kBlockBytes + offset, buffer, *bytes);
  }
  return status;
}

Status MM_EFIAPI write(Fvb const*, u64 block, u64 offset, u64* bytes, u8* buffer) {
  Status const status = clip(block, offset, bytes, buffer);
  if (status == Status::InvalidParameter) {
    return status;
  }
  return g_flash.program(block * NorFlash::kBlockBytes + offset, buffer, *bytes) ? status : Status::DeviceError;
}

/// Calls f(first, count) for each pair of the list; false when one was wrong.
template <typename F>
bool each_range(__builtin_va_list list, F&& f) noexcept {
  for (u64 first = __builtin_va_arg(list, u64); first != kEndOfList; first = __builtin_va_arg(list, u64)) {
    u64 const count = __builtin_va_arg(list, u64);
    if (!f(first, count)) {
      return false;
    }
  }
  return true;
}

/// Pairs of a block and a number of blocks. Nothing is erased when one of them is not in the volume.
Status MM_EFIAPI erase(Fvb const* self, ...) {
  __builtin_va_list list;
  __builtin_va_start(list, self);
  bool const good = each_range(list, [](u64 first, u64 count) {
    return count != 0 && first < g_flash.blocks() && count <= g_flash.blocks() - first;
  });
  __builtin_va_end(list);
  if (!good) {
    return Status::InvalidParameter;
  }
  __builtin_va_start(list, self);
  bool const done = each_range(list, [](u64 first, u64 count) {
    for (u64 i = 0; i < count; ++i) {
      if (!g_flash.erase(first + i)) {
        return false;
      }
    }
    return true;
  });
  __builtin_va_end(list);
  return done ? Status::Success : Status::DeviceError;
}

Fvb g_protocol{get_attributes, set_attributes, get_address, get_block_size, read, write, erase, 0};

/// The payload of the HOB, if there is one.
bool find_flash(mm::driver::MmSystemTable const& mmst, VariableFlashInfo& info) noexcept {
  u64 const list = mm::driver::hob_list(mmst);
  bool found = false;
  if (list == 0) {
    return false;
  }
  mm::user::for_each_hob(list, [&](u64 hob, mm::abi::HobHeader const&) {
    if (!found && mm::user::is_guid_hob(hob, mm::abi::kVariableFlashInfoHobGuid, sizeof info)) {
      info = mm::driver::get<VariableFlashInfo>(mm::user::at<void>(hob + sizeof(mm::abi::HobGuid)));
      found = true;
    }
  });
  return found;
}

}  // namespace
}  // namespace platform_driver

/// NotFound: no HOB says where a flash is. DeviceError: there is none, or it takes no commands.
/// VolumeCorrupted: it does not begin with a volume.
mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  using namespace platform_driver;
  VariableFlashInfo info;
  if (!find_flash(*mmst, info)) {
    return mm::Status::NotFound;
  }
  mm::u64 const bytes = info.spare_base + info.spare_bytes - info.variable_base;
  g_flash = NorFlash{info.variable_base, bytes};
  if (!g_flash.is_there()) {
    return mm::Status::DeviceError;
  }
  if (header_word(kSignatureAt) != kSignature) {
    return mm::Status::VolumeCorrupted;
  }
  mm::driver::Handle handle = 0;
  return mmst->install_protocol(&handle, &kFvb, 0, &g_protocol);
}
