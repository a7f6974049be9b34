// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>
#include <vector>

#include "core/base/types.hpp"
#include "sim/machine/machine.hpp"

namespace mm::sim {

/// What ring 0 read of the normal world in the current MMI, and what it read twice.
class FetchLog {
 public:
  /// A new MMI: everything may be read once more.
  void begin_mmi() noexcept { seen_.clear(); }
  /// `r` is outside MMRAM. Reading on where another read ended is no double fetch.
  void fetched(Range r, u32 cpu);
  void clear() noexcept {
    seen_.clear();
    found_.clear();
  }
  std::vector<DoubleFetch> const& found() const noexcept { return found_; }

 private:
  std::vector<Range> seen_;
  std::vector<DoubleFetch> found_;
};

}  // namespace mm::sim
