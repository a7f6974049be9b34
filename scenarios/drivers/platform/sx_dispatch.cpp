// SPDX-License-Identifier: BSD-2-Clause-Patent
// EFI_MM_SX_DISPATCH_PROTOCOL (PI 1.8 vol. 4, 6.3).

#include "scenarios/drivers/platform/dispatch.hpp"

namespace platform_driver {
namespace {

constexpr u32 kTypes = 6;   ///< S0 to S5
constexpr u32 kPhases = 2;  ///< entry and exit

/// EFI_MM_SX_REGISTER_CONTEXT.
struct RegisterContext {
  u32 type = 0;
  u32 phase = 0;
};

struct SxDispatch {
  Status(MM_EFIAPI* do_register)(SxDispatch const*, DispatchFn, RegisterContext const*, Handle*) = nullptr;
  Status(MM_EFIAPI* do_unregister)(SxDispatch const*, Handle) = nullptr;
};

constinit Children<RegisterContext> g_children;

Status MM_EFIAPI do_register(SxDispatch const*, DispatchFn function, RegisterContext const* context, Handle* dispatch) {
  if (function == nullptr || context == nullptr || dispatch == nullptr || context->type >= kTypes ||
      context->phase >= kPhases) {
    return Status::InvalidParameter;
  }
  return g_children.add(*g_mmst, function, *context, dispatch);
}

Status MM_EFIAPI do_unregister(SxDispatch const*, Handle dispatch) { return g_children.remove(*g_mmst, dispatch); }

SxDispatch g_protocol{do_register, do_unregister};

}  // namespace

Status install_sx_dispatch() noexcept { return install(kSxDispatch, &g_protocol); }

u32 on_sleep(u64 type, u64 phase) noexcept {
  return g_children.call(*g_mmst,
                         [=](auto const& child) { return child.context.type == type && child.context.phase == phase; });
}

}  // namespace platform_driver
