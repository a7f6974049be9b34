// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <optional>

#include "core/communication/comm_buffer.hpp"

/// What a platform tells the component (core/communication/CLIENT.md 1).
namespace mm::communication {

/// Base of the ACPI fixed hardware (PM1a event block): a port block or memory.
struct AcpiBase {
  enum class Kind : u8 { Mmio, Io };
  Kind kind = Kind::Mmio;
  u64 address = 0;  ///< 0: the platform enables SMIs itself and the component does not touch SMI_EN

  static constexpr AcpiBase mmio(u64 at) noexcept { return {Kind::Mmio, at}; }
  static constexpr AcpiBase io(u16 port) noexcept { return {Kind::Io, port}; }
  friend constexpr bool operator==(AcpiBase, AcpiBase) = default;
};

/// How an MMI is raised: a software SMI port, or an SMC function of other architectures, which x86-64 refuses.
struct MmiPort {
  enum class Kind : u8 { Smi, Smc };
  Kind kind = Kind::Smi;
  u32 number = 0;

  static constexpr MmiPort smi(u16 port) noexcept { return {Kind::Smi, port}; }
  static constexpr MmiPort smc(u32 function) noexcept { return {Kind::Smc, function}; }
  friend constexpr bool operator==(MmiPort, MmiPort) = default;
};

inline constexpr std::size_t kMaxCommBuffers = 8;

struct CommunicationConfig {
  AcpiBase acpi_base = {};
  MmiPort cmd_port = MmiPort::smi(0xFF);
  MmiPort data_port = MmiPort::smi(0x00);
  std::array<std::optional<CommunicateBuffer>, kMaxCommBuffers> comm_buffers;  ///< each with an id of its own
  bool enable_comm_buffer_updates = false;
  std::optional<u8> updatable_buffer_id;  ///< the buffer that an update replaces
};

}  // namespace mm::communication
