// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <atomic>

#include "core/abi/platform.hpp"
#include "hal/bare/instructions.hpp"

namespace mm::bare {

/// How fast the TSC runs. The PM timer, by which it is measured, belongs to the normal world after the lock (its base
/// address can be moved, and then it stands still); the TSC of a CPU that is inside MM can be moved by that CPU alone,
/// and ring 3 may not (core/policy/foundation.hpp). One object a machine, written in the first MMI only, by whichever
/// CPU is there first or by several.
class Clock {
 public:
  /// Measures once, during the first MMI, when the chipset is still the firmware's. A PM timer that does not run leaves
  /// a rate that no CPU exceeds: waits get longer than asked for, never shorter.
  void measure() noexcept {
    if (ticks_per_us_.load(std::memory_order_relaxed) == 0) {
      ticks_per_us_.store(rate(), std::memory_order_relaxed);
    }
  }
  /// Whole microseconds in `ticks` of the TSC.
  u64 microseconds(u64 ticks) const noexcept { return ticks / ticks_per_us_.load(std::memory_order_relaxed); }

 private:
  /// TSC ticks in a microsecond, at least 1.
  static u64 rate() noexcept {
    u32 const from = in32(platform::kPortPmTimer) & kTimerMask;
    u64 const start = read_tsc();
    for (u32 poll = 0; poll < kMostPolls; ++poll) {
      u64 const passed = ((in32(platform::kPortPmTimer) & kTimerMask) - from) & kTimerMask;
      if (passed >= kSample) {
        u64 const ticks = (read_tsc() - start) * platform::kPmTimerHz / (passed * 1'000'000);
        return ticks == 0 ? 1 : ticks;
      }
    }
    return kFastest;
  }

  static constexpr u32 kTimerMask = 0xFF'FFFF;
  static constexpr u64 kSample = 3580;  ///< PM timer ticks: a millisecond
  static constexpr u32 kMostPolls = 1u << 20;
  static constexpr u64 kFastest = 8000;

  std::atomic<u64> ticks_per_us_{0};
};

}  // namespace mm::bare
