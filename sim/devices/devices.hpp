// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <string>

#include "core/abi/platform.hpp"
#include "core/abi/syscalls.hpp"
#include "core/base/types.hpp"
#include "sim/devices/config_space.hpp"
#include "sim/devices/pm_block.hpp"
#include "sim/devices/uart.hpp"
#include "sim/devices/windows.hpp"

/// The devices of the platform, as QEMU's q35 has them (hal/qemu_rom/Q35.md 3): ports and PCI configuration space.
namespace mm::sim {

/// What a port access asks of the machine.
enum class PortEffect {
  None,
  SoftwareMmi,
  Reset,  ///< or switched off: the machine ends here
};

/// Registers of all devices: trivially copyable, part of a snapshot.
struct DeviceState {
  explicit DeviceState(u64 tseg_bytes) noexcept : config(tseg_bytes) {}

  ConfigSpace config;
  PmBlock pm;
  Uart uart;
  u32 pci_address = 0;
  u8 apm_command = 0;
  u8 apm_status = 0;
  u8 cmos_index = 0;
  u8 reset_control = 0;  ///< port 0xCF9
  u8 port_92 = 0;
};

class Devices {
 public:
  /// `ram_bytes` of low RAM, for CMOS and TSEG. `more`: what a scenario brings; it goes before what q35 has.
  Devices(u64 ram_bytes, u64 tseg_bytes, std::span<WindowSpec const> more = {});

  /// The next two never fail: ports without a device read all ones and ignore writes.
  u32 in(u16 port, abi::IoWidth width, u64 time_ns) noexcept;
  PortEffect out(u16 port, abi::IoWidth width, u32 value) noexcept;

  /// 1, 2, 4 or 8 bytes at a physical address above RAM: configuration space under PCIEXBAR, devices of a scenario;
  /// zeros elsewhere.
  u64 read_memory(u64 address, u32 bytes, Windows::From from) noexcept;
  void write_memory(u64 address, u32 bytes, u64 value, Windows::From from) noexcept;

  /// The same for the normal world, in dwords where they are aligned, else in bytes.
  void read_outside(u64 address, std::span<std::byte> out) noexcept;
  void write_outside(u64 address, std::span<std::byte const> in) noexcept;

  /// MCH: TSEG decodes as SMRAM only for CPUs in MM. T_EN needs G_SMRAME (hal/qemu_rom/Q35.md 3).
  bool tseg_closed() const noexcept;
  /// D_LCK: SMRAMC and ESMRAMC keep their values until reset.
  bool smram_locked() const noexcept;
  Range tseg() const noexcept { return {ram_bytes_ - tseg_bytes_, tseg_bytes_}; }

  /// Memory that is configuration space instead, for the CPUs outside MM. Empty: off.
  Range pciexbar() const noexcept { return state_.config.pciexbar(); }

  /// What the boot firmware programs before it locks: PMBASE, ACPI enable, PCIEXBAR; then TSEG closed and locked,
  /// SMI_EN and SMI_LOCK. Register by register as the ROM leaves them (scenarios/smoke/chipset_state.toml).
  void firmware_setup() noexcept;
  void firmware_lock() noexcept;

  std::string const& serial() const noexcept { return serial_; }
  /// A snapshot of theirs is their own.
  Windows& windows() noexcept { return windows_; }
  Windows const& windows() const noexcept { return windows_; }
  DeviceState const& state() const noexcept { return state_; }
  void restore(DeviceState const& state) noexcept { state_ = state; }

 private:
  u8 in_byte(u16 port) noexcept;
  PortEffect out_byte(u16 port, u8 value) noexcept;
  void set_config(u32 address, u8 value) noexcept;
  /// Offset in the PM block; nothing when the port is elsewhere.
  std::optional<u16> pm_offset(u16 port) const noexcept;
  u8 cmos(u8 index) const noexcept;

  u64 ram_bytes_;
  u64 tseg_bytes_;
  DeviceState state_;
  std::string serial_;
  Windows windows_;
};

}  // namespace mm::sim
