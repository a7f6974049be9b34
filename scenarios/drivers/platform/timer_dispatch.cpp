// SPDX-License-Identifier: BSD-2-Clause-Patent
// EFI_MM_PERIODIC_TIMER_DISPATCH_PROTOCOL (PI 1.8 vol. 4, 6.4). The intervals are those of ICH9's PER_SMI_SEL.

#include "scenarios/drivers/platform/dispatch.hpp"

namespace platform_driver {
namespace {

constexpr u64 kSecond = 10'000'000;  ///< in 100 ns

/// EFI_MM_PERIODIC_TIMER_REGISTER_CONTEXT.
struct RegisterContext {
  u64 period = 0;
  u64 tick_interval = 0;
};
/// What was registered, and the time since the last call, in 100 ns.
struct Timer {
  RegisterContext registered;
  u64 elapsed = 0;
};
/// EFI_MM_PERIODIC_TIMER_CONTEXT.
struct TimerContext {
  u64 elapsed = 0;
};

struct TimerDispatch {
  Status(MM_EFIAPI* do_register)(TimerDispatch const*, DispatchFn, RegisterContext const*, Handle*) = nullptr;
  Status(MM_EFIAPI* do_unregister)(TimerDispatch const*, Handle) = nullptr;
  Status(MM_EFIAPI* next_shorter_interval)(TimerDispatch const*, u64** interval) = nullptr;
};

constinit Children<Timer> g_children;
/// Longest first; 0 ends the list, as the protocol has it.
constinit u64 g_intervals[] = {64 * kSecond, 32 * kSecond, 16 * kSecond, 8 * kSecond, 0};

bool is_interval(u64 value) noexcept {
  for (u64 const one : g_intervals) {
    if (one == value) {
      return value != 0;
    }
  }
  return false;
}

Status MM_EFIAPI do_register(TimerDispatch const*, DispatchFn function, RegisterContext const* context,
                             Handle* dispatch) {
  if (function == nullptr || context == nullptr || dispatch == nullptr || !is_interval(context->tick_interval) ||
      context->period < context->tick_interval) {
    return Status::InvalidParameter;
  }
  return g_children.add(*g_mmst, function, {*context, 0}, dispatch);
}

Status MM_EFIAPI do_unregister(TimerDispatch const*, Handle dispatch) { return g_children.remove(*g_mmst, dispatch); }

/// `*interval`: null for the longest, else what was given before.
Status MM_EFIAPI next_shorter_interval(TimerDispatch const*, u64** interval) {
  if (interval == nullptr) {
    return Status::InvalidParameter;
  }
  u64* const before = *interval;
  if (before == nullptr) {
    *interval = g_intervals;
    return Status::Success;
  }
  for (u64& one : g_intervals) {
    if (&one == before) {
      *interval = one == 0 ? before : before + 1;
      return Status::Success;
    }
  }
  return Status::InvalidParameter;
}

TimerDispatch g_protocol{do_register, do_unregister, next_shorter_interval};

}  // namespace

Status install_timer_dispatch() noexcept { return install(kTimerDispatch, &g_protocol); }

/// Each function is called once, however many periods have gone by, and told how long it was.
u32 on_time(u64 elapsed) noexcept {
  TimerContext context;
  return g_children.call(
      *g_mmst,
      [&](auto& child) {
        Timer& timer = child.context;
        timer.elapsed = timer.elapsed > ~u64{0} - elapsed ? ~u64{0} : timer.elapsed + elapsed;
        bool const due = timer.elapsed >= timer.registered.period;
        context.elapsed = timer.elapsed;
        timer.elapsed = due ? 0 : timer.elapsed;
        return due;
      },
      &context, sizeof context);
}

}  // namespace platform_driver
