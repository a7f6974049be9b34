// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "scenarios/drivers/platform/children.hpp"
#include "scenarios/drivers/platform/guids.hpp"

/// The parts of PlatformDispatch: one dispatch protocol each.
namespace platform_driver {

/// What the normal world tells by a message to kPlatformEvent, for q35 raises no MMI for it.
enum class Event : u32 {
  Sleep = 1,          ///< first: EFI_SLEEP_TYPE, second: EFI_SLEEP_PHASE
  Time = 2,           ///< first: so many units of 100 ns have gone by
  PowerButton = 3,    ///< first: EFI_POWER_BUTTON_PHASE
  StandbyButton = 4,  ///< first: EFI_STANDBY_BUTTON_PHASE
};

/// The message, and the reply.
struct EventMessage {
  u32 event = 0;
  u32 called = 0;  ///< in the reply: functions that were called
  u64 first = 0;
  u64 second = 0;
};
static_assert(sizeof(EventMessage) == 24);

inline constexpr Guid kPlatformEvent = mm::operator""_guid("5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0200", 36);

/// Set before anything is installed.
extern MmSystemTable* g_mmst;

/// EFI_MM_SW_DISPATCH_PROTOCOL, and the root handler that looks at APM_CNT.
Status install_sw_dispatch() noexcept;

Status install_sx_dispatch() noexcept;
u32 on_sleep(u64 type, u64 phase) noexcept;

Status install_timer_dispatch() noexcept;
u32 on_time(u64 elapsed) noexcept;

/// Both buttons.
Status install_button_dispatch() noexcept;
u32 on_power_button(u64 phase) noexcept;
u32 on_standby_button(u64 phase) noexcept;

/// A handle of its own for each protocol, as chipset drivers have it.
inline Status install(Guid const& protocol, void* interface) noexcept {
  Handle handle = 0;
  return g_mmst->install_protocol(&handle, &protocol, 0, interface);
}

}  // namespace platform_driver
