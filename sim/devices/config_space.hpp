// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/base/types.hpp"

namespace mm::sim {

/// PCI configuration space of the functions that QEMU's q35 has without further devices: memory controller 00:00.0, LPC
/// bridge 00:1f.0, SATA 00:1f.2, SMBus 00:1f.3. Reset values and writable bits are QEMU 7.2's, measured by writing ones
/// and zeros to every register. Trivially copyable: part of a snapshot.
class ConfigSpace {
 public:
  explicit ConfigSpace(u64 tseg_bytes) noexcept;

  /// FF where there is no function.
  u8 read(u8 device, u8 function, u8 offset) const noexcept;
  void write(u8 device, u8 function, u8 offset, u8 value) noexcept;

  u8 smramc() const noexcept { return mch()[0x9D]; }
  u8 esmramc() const noexcept { return mch()[0x9E]; }
  /// PCIEXBAR: memory that is configuration space. Empty: off.
  Range pciexbar() const noexcept;
  /// Base of the PM block; 0: none, or ACPI_EN is clear.
  u16 pm_base() const noexcept;
  /// GEN_PMCON_1.SMI_LOCK: GBL_SMI_EN keeps its value.
  bool smi_locked() const noexcept { return (lpc()[0xA0] & 0x10) != 0; }

 private:
  using Registers = std::array<u8, 256>;
  static constexpr std::size_t kFunctions = 4;
  static constexpr std::size_t kNone = kFunctions;
  static std::size_t index_of(u8 device, u8 function) noexcept;
  Registers const& mch() const noexcept { return functions_[0]; }
  Registers const& lpc() const noexcept { return functions_[1]; }
  void write_mch(u8 offset, u8 value) noexcept;
  void write_lpc(u8 offset, u8 value) noexcept;
  void write_plain(std::size_t function, u8 offset, u8 value) noexcept;

  std::array<Registers, kFunctions> functions_{};
  u8 tseg_mebibytes_;
};

}  // namespace mm::sim
