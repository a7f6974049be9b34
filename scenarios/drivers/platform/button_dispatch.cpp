// SPDX-License-Identifier: BSD-2-Clause-Patent
// EFI_MM_POWER_BUTTON_DISPATCH_PROTOCOL and EFI_MM_STANDBY_BUTTON_DISPATCH_PROTOCOL (PI 1.8 vol. 4, 6.7 and 6.8), which
// differ in nothing but their names.

#include "scenarios/drivers/platform/dispatch.hpp"

namespace platform_driver {
namespace {

constexpr u32 kPhases = 2;  ///< entry and exit

/// EFI_MM_POWER_BUTTON_REGISTER_CONTEXT, EFI_MM_STANDBY_BUTTON_REGISTER_CONTEXT.
struct RegisterContext {
  u32 phase = 0;
};

struct ButtonDispatch {
  Status(MM_EFIAPI* do_register)(ButtonDispatch*, DispatchFn, RegisterContext const*, Handle*) = nullptr;
  Status(MM_EFIAPI* do_unregister)(ButtonDispatch*, Handle) = nullptr;
  Children<RegisterContext> children;  ///< ours, behind what a driver knows
};

Status MM_EFIAPI do_register(ButtonDispatch* self, DispatchFn function, RegisterContext const* context,
                             Handle* dispatch) {
  if (self == nullptr || function == nullptr || context == nullptr || dispatch == nullptr ||
      context->phase >= kPhases) {
    return Status::InvalidParameter;
  }
  return self->children.add(*g_mmst, function, *context, dispatch);
}

Status MM_EFIAPI do_unregister(ButtonDispatch* self, Handle dispatch) {
  return self == nullptr ? Status::InvalidParameter : self->children.remove(*g_mmst, dispatch);
}

constinit ButtonDispatch g_power{do_register, do_unregister, {}};
constinit ButtonDispatch g_standby{do_register, do_unregister, {}};

u32 press(ButtonDispatch& button, u64 phase) noexcept {
  return button.children.call(*g_mmst, [=](auto const& child) { return child.context.phase == phase; });
}

}  // namespace

Status install_button_dispatch() noexcept {
  Status const status = install(kPowerButton, &g_power);
  return status == Status::Success ? install(kStandbyButton, &g_standby) : status;
}

u32 on_power_button(u64 phase) noexcept { return press(g_power, phase); }
u32 on_standby_button(u64 phase) noexcept { return press(g_standby, phase); }

}  // namespace platform_driver
