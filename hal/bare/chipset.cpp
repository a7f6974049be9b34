// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "hal/bare/chipset.hpp"

#include "hal/bare/instructions.hpp"

namespace mm::bare {
namespace {

constexpr u16 kPortConfigAddress = 0xCF8;
constexpr u16 kPortConfigData = 0xCFC;
constexpr u32 kMch = 0x8000'0000;
constexpr u32 kExtendedTseg = 0x50;  ///< MiB
constexpr u32 kSmramc = 0x9D;        ///< and ESMRAMC at 0x9E
constexpr u8 kSmramcLock = 0x10, kSmramcEnable = 0x08;
constexpr u8 kEsmramcEnable = 0x01;
constexpr u16 kPortCmosIndex = 0x70;
constexpr u16 kPortCmosData = 0x71;

u16 config_read16(u32 offset) noexcept {
  out32(kPortConfigAddress, kMch | (offset & 0xFC));
  return in16(static_cast<u16>(kPortConfigData + (offset & 2)));
}
u8 config_read8(u32 offset) noexcept { return static_cast<u8>(config_read16(offset) >> (offset & 1) * 8); }
u8 cmos(u8 index) noexcept {
  out8(kPortCmosIndex, index);
  return in8(kPortCmosData);
}

}  // namespace

Range locked_tseg() noexcept {
  constexpr u64 kMebibytes[] = {1, 2, 8};
  u32 const address = in32(kPortConfigAddress);
  u8 const smramc = config_read8(kSmramc);
  u8 const esmramc = config_read8(kSmramc + 1);
  u16 const extended = config_read16(kExtendedTseg);
  out32(kPortConfigAddress, address);
  bool const closed =
      (smramc & (kSmramcLock | kSmramcEnable)) == (kSmramcLock | kSmramcEnable) && (esmramc & kEsmramcEnable) != 0;
  u64 const ram = (static_cast<u64>(static_cast<u32>(cmos(0x35)) << 8 | cmos(0x34)) << 16) + (16ull << 20);
  u32 const size = esmramc >> 1 & 3;
  u64 const bytes = (size == 3 ? extended : kMebibytes[size]) << 20;
  return closed && bytes != 0 && bytes < ram ? Range{ram - bytes, bytes} : Range{};
}

}  // namespace mm::bare
