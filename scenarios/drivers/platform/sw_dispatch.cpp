// SPDX-License-Identifier: BSD-2-Clause-Patent
// EFI_MM_SW_DISPATCH_PROTOCOL (PI 1.8 vol. 4, 6.2). Chipset drivers look at SMI_STS first; on q35 it reads 0, and every
// MMI but an IPI comes by APM_CNT. So each MMI is one of the number that is there.

#include "scenarios/drivers/platform/dispatch.hpp"

namespace platform_driver {
namespace {

constexpr u64 kPortApmCnt = 0xB2;
constexpr u64 kPortApmSts = 0xB3;
constexpr u64 kMostValue = 0xFF;
constexpr u64 kAnyValue = ~u64{0};  ///< (UINTN) -1: the driver takes what is free

/// EFI_MM_SW_REGISTER_CONTEXT.
struct RegisterContext {
  u64 value = 0;
};
/// EFI_MM_SW_CONTEXT.
struct SwContext {
  u64 cpu = 0;
  u8 command = 0;
  u8 data = 0;
};

struct SwDispatch {
  Status(MM_EFIAPI* do_register)(SwDispatch const*, DispatchFn, RegisterContext*, Handle*) = nullptr;
  Status(MM_EFIAPI* do_unregister)(SwDispatch const*, Handle) = nullptr;
  u64 most_value = kMostValue;
};

constinit Children<RegisterContext> g_children;

bool is_taken(u64 value) noexcept {
  return g_children.any([value](RegisterContext const& c) { return c.value == value; });
}

/// ACPI's own numbers, 2 and 3, raise no MMI on q35.
u64 free_value() noexcept {
  for (u64 value = kMostValue; value > 3; --value) {
    if (!is_taken(value)) {
      return value;
    }
  }
  return kAnyValue;
}

Status MM_EFIAPI do_register(SwDispatch const*, DispatchFn function, RegisterContext* context, Handle* dispatch) {
  if (function == nullptr || context == nullptr || dispatch == nullptr) {
    return Status::InvalidParameter;
  }
  u64 const value = context->value == kAnyValue ? free_value() : context->value;
  if (value == kAnyValue) {
    return Status::OutOfResources;
  }
  if (value > kMostValue || is_taken(value)) {
    return Status::InvalidParameter;
  }
  Status const status = g_children.add(*g_mmst, function, {value}, dispatch);
  if (status == Status::Success) {
    context->value = value;
  }
  return status;
}

Status MM_EFIAPI do_unregister(SwDispatch const*, Handle dispatch) { return g_children.remove(*g_mmst, dispatch); }

u8 port(u64 number) noexcept {
  return static_cast<u8>(
      mm::driver::syscall(mm::abi::Syscall::IoRead, number, static_cast<u64>(mm::abi::IoWidth::Byte)));
}

/// A root handler: every MMI comes here.
Status MM_EFIAPI on_mmi(Handle, void const*, void*, u64*) {
  SwContext context{g_mmst->currently_executing_cpu, port(kPortApmCnt), port(kPortApmSts)};
  u32 const called = g_children.call(
      *g_mmst, [&](auto const& child) { return child.context.value == context.command; }, &context, sizeof context);
  return called != 0 ? Status::WarnInterruptSourceQuiesced : Status::WarnInterruptSourcePending;
}

SwDispatch g_protocol{do_register, do_unregister, kMostValue};

}  // namespace

Status install_sw_dispatch() noexcept {
  Handle root = 0;
  Status const status = g_mmst->mmi_handler_register(on_mmi, nullptr, &root);
  return status == Status::Success ? install(kSwDispatch, &g_protocol) : status;
}

}  // namespace platform_driver
