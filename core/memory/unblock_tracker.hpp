// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>

#include "core/base/types.hpp"

namespace mm::memory {

/// Regions outside MMRAM that were opened to MM. Neighbours are not merged: an access must lie inside one region.
class UnblockTracker {
 public:
  static constexpr u32 kCapacity = 64;
  struct Entry {
    Range range;
    bool supervisor = false;
    friend constexpr bool operator==(Entry const&, Entry const&) = default;
  };

  /// Whether one region holds all of `r`. An empty `r` is held by none.
  constexpr bool contains(Range r) const noexcept {
    for (u32 i = 0; i < count_; ++i) {
      if (entries_[i].range.contains(r)) {
        return true;
      }
    }
    return false;
  }
  constexpr bool overlaps(Range r) const noexcept {
    for (u32 i = 0; i < count_; ++i) {
      if (entries_[i].range.overlaps(r)) {
        return true;
      }
    }
    return false;
  }
  constexpr bool has(Entry const& e) const noexcept {
    for (u32 i = 0; i < count_; ++i) {
      if (entries_[i] == e) {
        return true;
      }
    }
    return false;
  }
  constexpr bool full() const noexcept { return count_ == kCapacity; }
  /// OutOfResources when full. The caller has tested overlaps().
  constexpr Expected<void> add(Entry const& e) noexcept {
    if (full()) {
      return std::unexpected(Status::OutOfResources);
    }
    entries_[count_++] = e;
    return {};
  }

 private:
  std::array<Entry, kCapacity> entries_{};
  u32 count_ = 0;
};

}  // namespace mm::memory
