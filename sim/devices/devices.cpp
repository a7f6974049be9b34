// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/devices/devices.hpp"

namespace mm::sim {
namespace {

constexpr u16 kConfigAddress = 0xCF8;
constexpr u16 kConfigData = 0xCFC;
constexpr u16 kCmosIndex = 0x70;
constexpr u16 kCmosData = 0x71;
constexpr u16 kUart = 0x3F8;
constexpr u16 kSmiEnable = 0x30;
constexpr u32 kMchId = 0x29C08086;
constexpr u32 kLpcId = 0x29188086;
constexpr u32 kAhciId = 0x29228086;
constexpr u8 kAhciBar = 0x24;
constexpr u8 kSmramcLock = 0x10;
constexpr u8 kSmramcGlobal = 0x08;
constexpr u8 kTsegEnable = 0x01;
constexpr u8 kSmiApmc = 0x20;
constexpr std::size_t kTextLimit = 1u << 20;

u8 byte_of(u64 v, unsigned index) noexcept { return static_cast<u8>(v >> (8 * index)); }

template <typename T>
void set_byte(T& v, unsigned index, u8 value) noexcept {
  auto const shift = 8 * index;
  v = static_cast<T>((v & ~(T{0xFF} << shift)) | (T{value} << shift));
}

}  // namespace

Devices::Devices(u64 ram_bytes, u64 tseg_bytes) noexcept : ram_bytes_(ram_bytes), tseg_bytes_(tseg_bytes) {}

bool Devices::tseg_closed() const noexcept {
  return (state_.smramc & kSmramcGlobal) != 0 && (state_.esmramc & kTsegEnable) != 0;
}

bool Devices::smram_locked() const noexcept { return (state_.smramc & kSmramcLock) != 0; }

u8 Devices::config_read(u8 device, u8 function, u8 offset) const noexcept {
  if (device == 0 && function == 0) {
    switch (offset) {
      case 0:
      case 1:
      case 2:
      case 3:
        return byte_of(kMchId, offset);
      case 0x50:
        return static_cast<u8>(tseg_bytes_ >> 20);
      case 0x51:
        return static_cast<u8>(tseg_bytes_ >> 28 & 0x0F);
      case 0x60:
      case 0x61:
      case 0x62:
      case 0x63:
        return byte_of(state_.pciexbar_low, offset - 0x60u);
      case 0x64:
      case 0x65:
      case 0x66:
      case 0x67:
        return byte_of(state_.pciexbar_high, offset - 0x64u);
      case 0x9D:
        return state_.smramc;
      case 0x9E:
        return state_.esmramc;
      default:
        return 0;
    }
  }
  if (device == 0x1F && function == 0) {
    switch (offset) {
      case 0:
      case 1:
      case 2:
      case 3:
        return byte_of(kLpcId, offset);
      case 0x40:
      case 0x41:
      case 0x42:
      case 0x43:
        return byte_of(state_.pm_base, offset - 0x40u);
      case 0x44:
        return state_.acpi_control;
      case 0xA0:
      case 0xA1:
        return byte_of(state_.gen_pmcon_1, offset - 0xA0u);
      default:
        return 0;
    }
  }
  if (device == 0x1F && function == 2) {
    bool const is_bar = offset >= kAhciBar && offset < kAhciBar + 4;
    return is_bar ? byte_of(state_.ahci_bar, offset - u32{kAhciBar}) : offset < 4 ? byte_of(kAhciId, offset) : u8{0};
  }
  return 0xFF;
}

void Devices::config_write(u8 device, u8 function, u8 offset, u8 value) noexcept {
  if (device == 0 && function == 0) {
    if (offset >= 0x60 && offset < 0x64) {
      set_byte(state_.pciexbar_low, offset - 0x60u, value);
    } else if (offset >= 0x64 && offset < 0x68) {
      set_byte(state_.pciexbar_high, offset - 0x64u, value);
    } else if (offset == 0x9D && !smram_locked()) {
      // D_LCK closes D_OPEN; C_BASE_SEG reads 2.
      u8 next = static_cast<u8>((value & 0x78) | 0x02);
      if ((next & kSmramcLock) != 0) {
        next = static_cast<u8>(next & ~0x40);
      }
      state_.smramc = next;
    } else if (offset == 0x9E && !smram_locked()) {
      state_.esmramc = static_cast<u8>((value & 0x87) | 0x38);
    }
    return;
  }
  if (device == 0x1F && function == 2 && offset >= kAhciBar && offset < kAhciBar + 4) {
    set_byte(state_.ahci_bar, offset - u32{kAhciBar}, value);
    state_.ahci_bar &= 0xFFFF'F000;
  }
  if (device == 0x1F && function == 0) {
    if (offset >= 0x40 && offset < 0x44) {
      set_byte(state_.pm_base, offset - 0x40u, value);
      state_.pm_base = (state_.pm_base & 0xFF80) | 1;
    } else if (offset == 0x44) {
      state_.acpi_control = value & 0x87;
    } else if (offset == 0xA0 || offset == 0xA1) {
      u16 const locked = state_.gen_pmcon_1 & 0x10;
      set_byte(state_.gen_pmcon_1, offset - 0xA0u, value);
      state_.gen_pmcon_1 = static_cast<u16>(state_.gen_pmcon_1 | locked);
    }
  }
}

u8 Devices::cmos(u8 index) const noexcept {
  u64 const above_16m = ram_bytes_ > (16u << 20) ? (ram_bytes_ - (16u << 20)) >> 16 : 0;
  switch (index & 0x7F) {
    case 0x34:
      return byte_of(above_16m, 0);
    case 0x35:
      return byte_of(above_16m, 1);
    default:
      return 0;
  }
}

u8 Devices::in_byte(u16 port, u64 time_ns) noexcept {
  u16 const pm = static_cast<u16>(state_.pm_base & 0xFF80);
  if (pm != 0 && (state_.acpi_control & 0x80) != 0 && port >= pm && port < pm + 0x80) {
    u16 const offset = static_cast<u16>(port - pm);
    if (offset >= 8 && offset < 12) {
      u64 const ticks = time_ns / 1000 * platform::kPmTimerHz / 1'000'000;
      return byte_of(ticks & 0xFFFFFF, offset - 8u);
    }
    return offset >= kSmiEnable && offset < kSmiEnable + 4 ? byte_of(state_.smi_enable, offset - u32{kSmiEnable})
                                                           : u8{0};
  }
  if (port >= kConfigAddress && port < kConfigAddress + 4) {
    return byte_of(state_.pci_address, port - u32{kConfigAddress});
  }
  if (port >= kConfigData && port < kConfigData + 4) {
    u32 const a = state_.pci_address;
    bool const bus0 = (a & 0x8000'0000) != 0 && (a & 0x00FF'0000) == 0;
    return bus0 ? config_read(static_cast<u8>(a >> 11 & 31), static_cast<u8>(a >> 8 & 7),
                              static_cast<u8>((a & 0xFC) + (port & 3)))
                : u8{0xFF};
  }
  if (port >= kUart && port < kUart + 8) {
    return state_.uart.in(static_cast<u16>(port - kUart));
  }
  switch (port) {
    case platform::kPortApmCnt:
      return state_.apm_command;
    case platform::kPortApmSts:
      return state_.apm_status;
    case platform::kPortDebugConsole:
      return 0xE9;
    case kCmosIndex:
      return state_.cmos_index;
    case kCmosData:
      return cmos(state_.cmos_index);
    default:
      return 0xFF;
  }
}

PortEffect Devices::out_byte(u16 port, u8 value) noexcept {
  u16 const pm = static_cast<u16>(state_.pm_base & 0xFF80);
  if (pm != 0 && (state_.acpi_control & 0x80) != 0 && port >= pm && port < pm + 0x80) {
    u16 const offset = static_cast<u16>(port - pm);
    if (offset >= kSmiEnable && offset < kSmiEnable + 4) {
      // SMI_LOCK keeps GBL_SMI_EN only; APMC_EN can still be cleared (qemu-q35.md 3).
      u32 const kept = (state_.gen_pmcon_1 & 0x10) != 0 ? state_.smi_enable & 1 : 0;
      set_byte(state_.smi_enable, offset - u32{kSmiEnable}, value);
      state_.smi_enable |= kept;
    }
    return PortEffect::None;
  }
  if (port >= kConfigAddress && port < kConfigAddress + 4) {
    set_byte(state_.pci_address, port - u32{kConfigAddress}, value);
    return PortEffect::None;
  }
  if (port >= kConfigData && port < kConfigData + 4) {
    u32 const a = state_.pci_address;
    if ((a & 0x8000'0000) != 0 && (a & 0x00FF'0000) == 0) {
      config_write(static_cast<u8>(a >> 11 & 31), static_cast<u8>(a >> 8 & 7), static_cast<u8>((a & 0xFC) + (port & 3)),
                   value);
    }
    return PortEffect::None;
  }
  if (port >= kUart && port < kUart + 8) {
    auto const sent = state_.uart.out(static_cast<u16>(port - kUart), value);
    if (sent && serial_.size() < kTextLimit) {
      serial_.push_back(static_cast<char>(*sent));
    }
    return PortEffect::None;
  }
  switch (port) {
    case platform::kPortApmCnt:
      state_.apm_command = value;
      return value != 2 && value != 3 && (state_.smi_enable & kSmiApmc) != 0 ? PortEffect::SoftwareMmi
                                                                             : PortEffect::None;
    case platform::kPortApmSts:
      state_.apm_status = value;
      break;
    case kCmosIndex:
      state_.cmos_index = value;
      break;
    default:
      break;
  }
  return PortEffect::None;
}

u32 Devices::in(u16 port, abi::IoWidth width, u64 time_ns) noexcept {
  u32 value = 0;
  for (u32 i = 0; i < abi::bytes_of(width); ++i) {
    value |= u32{in_byte(static_cast<u16>(port + i), time_ns)} << (8 * i);
  }
  return value;
}

PortEffect Devices::out(u16 port, abi::IoWidth width, u32 value) noexcept {
  PortEffect effect = PortEffect::None;
  for (u32 i = 0; i < abi::bytes_of(width); ++i) {
    if (out_byte(static_cast<u16>(port + i), byte_of(value, i)) == PortEffect::SoftwareMmi) {
      effect = PortEffect::SoftwareMmi;
    }
  }
  return effect;
}

void Devices::firmware_setup() noexcept {
  state_.pm_base = platform::kPmBase | 1;
  state_.acpi_control = 0x80;
  state_.smi_enable = 0x21;
}

void Devices::firmware_lock() noexcept {
  config_write(0, 0, 0x9E, 0x07);
  config_write(0, 0, 0x9D, 0x0A);
  config_write(0, 0, 0x9D, 0x1A);
}

}  // namespace mm::sim
