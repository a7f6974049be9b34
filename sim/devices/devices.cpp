// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/devices/devices.hpp"

#include <cstring>

namespace mm::sim {
namespace {

constexpr u16 kConfigAddress = 0xCF8;
constexpr u16 kResetControl = 0xCF9;
constexpr u16 kConfigData = 0xCFC;
constexpr u16 kCmosIndex = 0x70;
constexpr u16 kCmosData = 0x71;
constexpr u16 kKeyboard = 0x64;
constexpr u8 kKeyboardStatus = 0x18;  ///< nothing to read, not locked
constexpr u16 kPort92 = 0x92;
constexpr u16 kUart = 0x3F8;
constexpr u8 kSmramcLock = 0x10;
constexpr u8 kSmramcGlobal = 0x08;
constexpr u8 kTsegEnable = 0x01;
constexpr std::size_t kTextLimit = 1u << 20;

u8 byte_of(u64 v, unsigned index) noexcept { return static_cast<u8>(v >> (8 * index)); }

bool is_config_address(u16 port) noexcept { return port >= kConfigAddress && port < kConfigAddress + 4; }
bool is_config_data(u16 port) noexcept { return port >= kConfigData && port < kConfigData + 4; }
/// Bus 0 is the only one.
bool has_bus(u32 address) noexcept { return (address & 0x8000'0000) != 0 && (address & 0x00FF'0000) == 0; }
/// An offset in PCIEXBAR's memory as 0xCF8 would have it; 0, which is no address, beyond the 256 registers and bus 0.
u32 ecam_address(u64 offset) noexcept {
  u32 const bus_and_register = static_cast<u32>(offset >> 20 << 16 | (offset & 0xF00));
  u32 const device_function = static_cast<u32>(offset >> 12 & 0xFF) << 8;
  return bus_and_register != 0 ? 0 : 0x8000'0000 | device_function | static_cast<u32>(offset & 0xFF);
}
u64 access_bytes(u64 address, u64 left) noexcept { return address % 4 == 0 && left >= 4 ? 4 : 1; }
u8 device_of(u32 address) noexcept { return static_cast<u8>(address >> 11 & 31); }
u8 function_of(u32 address) noexcept { return static_cast<u8>(address >> 8 & 7); }

}  // namespace

Devices::Devices(u64 ram_bytes, u64 tseg_bytes, std::span<WindowSpec const> more)
    : ram_bytes_(ram_bytes), tseg_bytes_(tseg_bytes), state_(tseg_bytes), windows_(more) {}

bool Devices::tseg_closed() const noexcept {
  return (state_.config.smramc() & kSmramcGlobal) != 0 && (state_.config.esmramc() & kTsegEnable) != 0;
}

bool Devices::smram_locked() const noexcept { return (state_.config.smramc() & kSmramcLock) != 0; }

std::optional<u16> Devices::pm_offset(u16 port) const noexcept {
  u16 const base = state_.config.pm_base();
  bool const inside = base != 0 && port >= base && port < base + PmBlock::kBytes;
  return inside ? std::optional{static_cast<u16>(port - base)} : std::nullopt;
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

u8 Devices::in_byte(u16 port) noexcept {
  if (is_config_data(port)) {
    u32 const a = state_.pci_address;
    auto const offset = static_cast<u8>((a & 0xFC) + (port & 3));
    return has_bus(a) ? state_.config.read(device_of(a), function_of(a), offset) : u8{0xFF};
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
    case kCmosData:
      return cmos(state_.cmos_index);
    case kKeyboard:
      return kKeyboardStatus;
    case kPort92:
      return state_.port_92;
    default:
      return 0xFF;
  }
}

PortEffect Devices::out_byte(u16 port, u8 value) noexcept {
  if (is_config_data(port)) {
    u32 const a = state_.pci_address;
    if (has_bus(a)) {
      state_.config.write(device_of(a), function_of(a), static_cast<u8>((a & 0xFC) + (port & 3)), value);
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
      if (value == 2 || value == 3) {
        state_.pm.set_sci(value == 2);
        return PortEffect::None;
      }
      return state_.pm.apm_smi() ? PortEffect::SoftwareMmi : PortEffect::None;
    case platform::kPortApmSts:
      state_.apm_status = value;
      return PortEffect::None;
    case kCmosIndex:
      state_.cmos_index = value;
      return PortEffect::None;
    case kKeyboard:  // commands F0 to FF pulse output lines; line 0 is the reset
      return (value & 0xF1) == 0xF0 ? PortEffect::Reset : PortEffect::None;
    case kPort92: {
      bool const rises = (value & ~state_.port_92 & 1) != 0;
      state_.port_92 = value;
      return rises ? PortEffect::Reset : PortEffect::None;
    }
    default:
      return PortEffect::None;
  }
}

u32 Devices::in(u16 port, abi::IoWidth width, u64 time_ns) noexcept {
  u32 const mask = static_cast<u32>((u64{1} << (8 * abi::bytes_of(width))) - 1);
  u64 at = 0;
  if (Window* const device = windows_.at_port(port, static_cast<u32>(abi::bytes_of(width)), at)) {
    return device->read(at, static_cast<u32>(abi::bytes_of(width))) & mask;
  }
  if (port == kResetControl && width == abi::IoWidth::Byte) {
    return state_.reset_control;
  }
  if (is_config_address(port)) {
    return state_.pci_address & mask;  // whichever byte was asked for
  }
  if (auto const offset = pm_offset(port)) {
    return state_.pm.in(*offset, width, time_ns);
  }
  u32 value = 0;
  for (u32 i = 0; i < abi::bytes_of(width); ++i) {
    value |= u32{in_byte(static_cast<u16>(port + i))} << (8 * i);
  }
  return value;
}

PortEffect Devices::out(u16 port, abi::IoWidth width, u32 value) noexcept {
  u64 at = 0;
  if (Window* const device = windows_.at_port(port, static_cast<u32>(abi::bytes_of(width)), at)) {
    device->write(at, static_cast<u32>(abi::bytes_of(width)), value);
    return PortEffect::None;
  }
  if (port == kResetControl && width == abi::IoWidth::Byte) {
    bool const resets = (value & 4) != 0;
    state_.reset_control = resets ? state_.reset_control : static_cast<u8>(value & 0x0A);
    return resets ? PortEffect::Reset : PortEffect::None;
  }
  if (is_config_address(port)) {
    if (port == kConfigAddress && width == abi::IoWidth::Dword) {
      state_.pci_address = value;
    }
    return PortEffect::None;
  }
  if (auto const offset = pm_offset(port)) {
    bool const off = state_.pm.out(*offset, width, value, state_.config.smi_locked());
    return off ? PortEffect::Reset : PortEffect::None;
  }
  PortEffect effect = PortEffect::None;
  for (u32 i = 0; i < abi::bytes_of(width); ++i) {
    PortEffect const one = out_byte(static_cast<u16>(port + i), byte_of(value, i));
    effect = one == PortEffect::None ? effect : one;
  }
  return effect;
}

u64 Devices::read_memory(u64 address, u32 bytes, Windows::From from) noexcept {
  Range const ecam = pciexbar();
  if (!ecam.contains({address, bytes})) {
    return windows_.read(address, bytes, from);
  }
  u64 value = 0;
  for (u32 i = 0; i < bytes; ++i) {
    u32 const a = ecam_address(address + i - ecam.base);
    u8 const byte = has_bus(a) ? state_.config.read(device_of(a), function_of(a), static_cast<u8>(a)) : u8{0xFF};
    value |= u64{byte} << (8 * i);
  }
  return value;
}

void Devices::write_memory(u64 address, u32 bytes, u64 value, Windows::From from) noexcept {
  Range const ecam = pciexbar();
  if (!ecam.contains({address, bytes})) {
    return windows_.write(address, bytes, value, from);
  }
  for (u32 i = 0; i < bytes; ++i) {
    if (u32 const a = ecam_address(address + i - ecam.base); has_bus(a)) {
      set_config(a, byte_of(value, i));
    }
  }
}

void Devices::read_outside(u64 address, std::span<std::byte> out) noexcept {
  for (u64 done = 0, bytes = 0; done < out.size(); done += bytes) {
    bytes = access_bytes(address + done, out.size() - done);
    u64 const value = read_memory(address + done, static_cast<u32>(bytes), Windows::From::Outside);
    std::memcpy(out.data() + done, &value, bytes);
  }
}

void Devices::write_outside(u64 address, std::span<std::byte const> in) noexcept {
  for (u64 done = 0, bytes = 0; done < in.size(); done += bytes) {
    bytes = access_bytes(address + done, in.size() - done);
    u64 value = 0;
    std::memcpy(&value, in.data() + done, bytes);
    write_memory(address + done, static_cast<u32>(bytes), value, Windows::From::Outside);
  }
}

void Devices::set_config(u32 address, u8 value) noexcept {
  state_.config.write(device_of(address), function_of(address), static_cast<u8>(address), value);
}

void Devices::firmware_setup() noexcept {
  constexpr u32 kLpc = 31u << 11;
  constexpr u32 kPciExBar = 0xB000'0001;
  set_config(kLpc | 0x40, byte_of(platform::kPmBase, 0));
  set_config(kLpc | 0x41, byte_of(platform::kPmBase, 1));
  set_config(kLpc | 0x44, 0x80);
  for (u32 i = 0; i < 4; ++i) {
    set_config(0x60 + i, byte_of(kPciExBar, i));
  }
}

void Devices::firmware_lock() noexcept {
  constexpr u32 kGenPmCon1 = 31u << 11 | 0xA0;
  set_config(0x9E, 0x07);
  set_config(0x9D, 0x0A);
  set_config(0x9D, 0x1A);
  out(platform::kPmBase + 0x30, abi::IoWidth::Dword, 0x21);
  set_config(kGenPmCon1, 0x10);
}

}  // namespace mm::sim
