// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/devices/pm_block.hpp"

#include "core/abi/platform.hpp"

namespace mm::sim {
namespace {

constexpr u16 kEnable = 0x02, kControl = 0x04, kControlEnd = 0x06, kTimer = 0x08, kTimerEnd = 0x0C;
constexpr u16 kGpe = 0x20, kGpeEnd = 0x30, kSmiEnable = 0x30, kSmiEnd = 0x38, kTco = 0x60;
constexpr u16 kSleepEnable = 1u << 13;

u8 byte_of(u64 v, unsigned index) noexcept { return static_cast<u8>(v >> (8 * index)); }

/// TCO2_CNT, SW_IRQ_GEN and TCO_TMR after reset.
u8 tco(u16 offset) noexcept { return offset == 0x6A ? 0x08 : offset == 0x70 ? 0x03 : offset == 0x72 ? 0x04 : 0; }

void merge(u16& to, u16 offset, u16 at, u8 value) noexcept {
  unsigned const shift = 8u * (offset - at);
  to = static_cast<u16>((to & ~(0xFFu << shift)) | unsigned{value} << shift);
}

}  // namespace

u8 PmBlock::byte(u16 offset, u64 time_ns) const noexcept {
  if (offset < kControl) {
    return byte_of(static_cast<u32>(enable_) << 16 | status_, offset);
  }
  if (offset < kControlEnd) {
    return byte_of(control_, offset - u32{kControl});
  }
  if (offset >= kTimer && offset < kTimerEnd) {
    u64 const ticks = time_ns / 1000 * platform::kPmTimerHz / 1'000'000;
    return byte_of(ticks & 0xFFFFFF, offset - u32{kTimer});
  }
  if (offset >= kGpe && offset < kGpeEnd) {
    return 0;
  }
  return offset >= kTco ? tco(offset) : u8{0xFF};
}

u32 PmBlock::in(u16 offset, abi::IoWidth width, u64 time_ns) const noexcept {
  if (offset >= kSmiEnable && offset < kSmiEnd) {
    return width == abi::IoWidth::Dword && offset == kSmiEnable ? smi_enable_ : 0;
  }
  if (offset < kControlEnd && width == abi::IoWidth::Dword) {
    return 0;
  }
  u32 value = 0;
  for (u32 i = 0; i < abi::bytes_of(width); ++i) {
    value |= u32{byte(static_cast<u16>(offset + i), time_ns)} << (8 * i);
  }
  return value;
}

bool PmBlock::out(u16 offset, abi::IoWidth width, u32 value, bool smi_locked) noexcept {
  if (offset == kSmiEnable && width == abi::IoWidth::Dword) {
    // SMI_LOCK keeps GBL_SMI_EN only; APMC_EN can still be cleared (hal/qemu_rom/Q35.md 3).
    smi_enable_ = value | (smi_locked ? smi_enable_ & 1 : 0);
    return false;
  }
  if (offset < kControlEnd && width == abi::IoWidth::Dword) {
    return false;
  }
  bool off = false;
  for (u32 i = 0; i < abi::bytes_of(width); ++i) {
    auto const at = static_cast<u16>(offset + i);
    u8 const v = byte_of(value, i);
    if (at < kEnable) {
      status_ = static_cast<u16>(status_ & ~(unsigned{v} << (8u * at)));
    } else if (at < kControl) {
      merge(enable_, at, kEnable, v);
    } else if (at < kControlEnd) {
      merge(control_, at, kControl, v);
      off = off || ((control_ & kSleepEnable) != 0 && (control_ >> 10 & 7) == 0);
      control_ = static_cast<u16>(control_ & ~kSleepEnable);
    }
  }
  return off;
}

}  // namespace mm::sim
