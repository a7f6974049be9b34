// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "hal/roles/machine.hpp"

namespace mm::supervisor {

/// A wait of ring 0 that always ends: by the clock of the CPU, and where that stands still by the number of polls.
/// A poll is a PAUSE and a read of the clock, 10 ns or more on a CPU, so that the second bound is never the first to
/// end a wait whose clock runs.
template <hal::Cpu C>
class Wait {
 public:
  static constexpr u64 kPollsPerUs = 256;

  /// Starts now and lasts `us` microseconds, at most 2^56.
  Wait(C& cpu, u64 us) noexcept : cpu_(cpu), us_(us) { restart(); }

  /// Starts again, with the whole time.
  void restart() noexcept {
    start_ = cpu_.now_us();
    polls_ = us_ * kPollsPerUs;
  }

  /// Pauses once. False, and no pause: the time is over.
  bool go_on() noexcept {
    if (polls_ == 0 || cpu_.now_us() - start_ >= us_) {
      return false;
    }
    --polls_;
    cpu_.pause();
    return true;
  }

 private:
  C& cpu_;
  u64 us_;
  u64 start_ = 0;
  u64 polls_ = 0;
};

}  // namespace mm::supervisor
