// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/fetch_log.hpp"

#include <algorithm>

namespace mm::sim {

void FetchLog::fetched(Range r, u32 cpu) {
  if (r.size == 0) {
    return;
  }
  for (Range const& old : seen_) {
    u64 const from = std::max(old.base, r.base);
    u64 const to = std::min(old.end(), r.end());
    if (from < to && found_.size() < Simulator::kMaxDoubleFetches) {
      found_.push_back({from, to - from, cpu});
    }
  }
  if (!seen_.empty() && seen_.back().end() == r.base) {
    seen_.back().size += r.size;
  } else {
    seen_.push_back(r);
  }
}

}  // namespace mm::sim
