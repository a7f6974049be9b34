// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>

#include "core/abi/platform.hpp"
#include "core/abi/syscalls.hpp"
#include "core/base/types.hpp"
#include "sim/devices/uart.hpp"

/// The devices of the platform, as QEMU's q35 has them (qemu-q35.md section 3): ports and PCI configuration space.
namespace mm::sim {

/// What a port access asks of the machine.
enum class PortEffect { None, SoftwareMmi };

/// Registers of all devices: trivially copyable, part of a snapshot.
struct DeviceState {
  u32 pci_address = 0;
  u8 apm_command = 0;
  u8 apm_status = 0;
  u8 smramc = 0x02;
  u8 esmramc = 0x38;
  u32 pciexbar_low = 0;
  u32 pciexbar_high = 0;
  u32 pm_base = 1;
  u8 acpi_control = 0;
  u16 gen_pmcon_1 = 0;
  u32 smi_enable = 0;
  u32 ahci_bar = 0;  ///< of the SATA controller 00:1f.2, 4 KiB: held, nothing is behind it
  u8 cmos_index = 0;
  Uart uart;
};

class Devices {
 public:
  /// `ram_bytes` of low RAM, for CMOS and TSEG.
  explicit Devices(u64 ram_bytes, u64 tseg_bytes) noexcept;

  /// The next two never fail: ports without a device read all ones and ignore writes.
  u32 in(u16 port, abi::IoWidth width, u64 time_ns) noexcept;
  PortEffect out(u16 port, abi::IoWidth width, u32 value) noexcept;

  /// MCH: TSEG decodes as SMRAM only for CPUs in MM. T_EN needs G_SMRAME (qemu-q35.md 3).
  bool tseg_closed() const noexcept;
  /// D_LCK: SMRAMC and ESMRAMC keep their values until reset.
  bool smram_locked() const noexcept;
  Range tseg() const noexcept { return {ram_bytes_ - tseg_bytes_, tseg_bytes_}; }

  u8 config_read(u8 device, u8 function, u8 offset) const noexcept;
  void config_write(u8 device, u8 function, u8 offset, u8 value) noexcept;

  /// Set, with what the boot firmware programs before it locks: PMBASE, ACPI enable, SMI_EN; then TSEG closed and
  /// locked.
  void firmware_setup() noexcept;
  void firmware_lock() noexcept;

  std::string const& serial() const noexcept { return serial_; }
  DeviceState const& state() const noexcept { return state_; }
  void restore(DeviceState const& state) noexcept { state_ = state; }

 private:
  u8 in_byte(u16 port, u64 time_ns) noexcept;
  PortEffect out_byte(u16 port, u8 value) noexcept;
  u8 cmos(u8 index) const noexcept;

  u64 ram_bytes_;
  u64 tseg_bytes_;
  DeviceState state_{};
  std::string serial_;
};

}  // namespace mm::sim
