// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/platform.hpp"

/// Interprocessor interrupts as the local APIC's command register has them (Intel SDM vol. 3, 11.6.1; AMD APM vol. 2,
/// 16.5). For both machines: what the simulator's APIC and the payload have in common.
namespace mm::arch {

inline constexpr u64 kApicPage = 0xFEE0'0000;
inline constexpr u32 kApicIcrLow = 0x300;
inline constexpr u32 kApicIcrHigh = 0x310;

enum class DeliveryMode : u32 { Fixed = 0, Smi = 2, Nmi = 4, Init = 5, Startup = 6 };
enum class Shorthand : u32 { None = 0, Self = 1, All = 2, Others = 3 };
inline constexpr u32 kIpiLogical = 0x800;
inline constexpr u32 kIpiAssert = 0x4000;
inline constexpr u32 kBroadcast = 0xFF;
inline constexpr u32 kBootApicId = 0;
/// The page at which the ROM has code for a CPU that starts.
inline constexpr u32 kStartVector = 0xFF;
inline constexpr u32 kLowestVector = 16;

constexpr u32 ipi_command(DeliveryMode mode, Shorthand to = Shorthand::None, u32 vector = 0) noexcept {
  return static_cast<u32>(mode) << 8 | kIpiAssert | static_cast<u32>(to) << 18 | vector;
}
constexpr DeliveryMode delivery_mode(u32 command) noexcept { return static_cast<DeliveryMode>(command >> 8 & 7); }
constexpr Shorthand shorthand(u32 command) noexcept { return static_cast<Shorthand>(command >> 18 & 3); }

/// Whether a CPU is meant, by shorthand or physical destination.
constexpr bool is_target(u32 command, u32 destination, u32 apic_id, u32 sender) noexcept {
  switch (shorthand(command)) {
    case Shorthand::Self:
      return apic_id == sender;
    case Shorthand::All:
      return true;
    case Shorthand::Others:
      return apic_id != sender;
    case Shorthand::None:
      break;
  }
  return destination == kBroadcast || destination == apic_id;
}

/// Whether a step may send it: the boot processor must be able to go on with the next step, and a CPU that starts must
/// find code.
constexpr bool is_sendable(u32 command, u32 destination) noexcept {
  constexpr u32 kKnown = 0xC'CFFF & ~kIpiLogical;
  if ((command & ~kKnown) != 0 || destination > kBroadcast) {
    return false;
  }
  bool const hits_sender = is_target(command, destination, kBootApicId, kBootApicId);
  switch (delivery_mode(command)) {
    case DeliveryMode::Smi:
      return true;
    case DeliveryMode::Fixed:
      return (command & 0xFF) >= kLowestVector;
    case DeliveryMode::Init:
      return !hits_sender;
    case DeliveryMode::Startup:
      return !hits_sender && (command & 0xFF) == kStartVector;
    case DeliveryMode::Nmi:
      break;
  }
  return false;  // or a mode that has no name
}

}  // namespace mm::arch
