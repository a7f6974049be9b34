// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <span>
#include <vector>

#include "fuzz/support/check.hpp"
#include "tests/support/supervisor_world.hpp"

namespace mm::fuzz {

/// The world of the supervisor's unit tests, that goes back to a start: fake memory, native supervisor, no engine.
class WorldWatch {
 public:
  explicit WorldWatch(test::World& world) : world_(world) {
    world_.machine.memory.snapshot();
    std::memcpy(saved_.data(), static_cast<void const*>(&world_.sup), saved_.size());
  }
  void reset() {
    world_.machine.memory.restore();
    world_.machine.events.clear();
    world_.machine.reads.clear();
    world_.machine.writes.clear();
    world_.machine.halted.reset();
    world_.machine.clock_us = 0;
    std::memcpy(static_cast<void*>(&world_.sup), saved_.data(), saved_.size());
  }

  /// Ring 0 touched nothing but MMRAM, the communicate buffers and their mailboxes.
  void check_accesses() const {
    constexpr u64 kWindows = platform::kSupervisorCommStatus + kPageSize - platform::kUserCommBuffer;
    for (auto const* list : {&world_.machine.reads, &world_.machine.writes}) {
      for (Range const& r : *list) {
        MM_FUZZ_CHECK(r.size == 0 || Range(test::kMmram, test::kMmramBytes).contains(r) ||
                      Range(platform::kUserCommBuffer, kWindows).contains(r));
      }
    }
  }
  /// No byte of the normal world was read twice since the log was cleared.
  void check_single_fetch() const {
    std::vector<Range> outside;
    std::ranges::copy_if(world_.machine.reads, std::back_inserter(outside),
                         [](Range const& r) { return r.size != 0 && r.base < test::kMmram; });
    std::ranges::sort(outside, {}, &Range::base);
    for (std::size_t i = 1; i < outside.size(); ++i) {
      MM_FUZZ_CHECK(outside[i - 1].end() <= outside[i].base);
    }
  }
  /// No page is writable and executable; ring 3 reaches none of the supervisor's.
  void check_pages() {
    world_.tables().for_each_leaf([](Range leaf, memory::PageAttr attr) {
      MM_FUZZ_CHECK(!(attr.writable && attr.executable));
      for (u64 const ours : {test::kTables, test::kHobs, test::kCore, test::kData, platform::kUserCommBuffer,
                             platform::kSupervisorCommBuffer, platform::kUserCommStatus}) {
        MM_FUZZ_CHECK(!attr.user || !leaf.contains({ours, kPageSize}));
      }
    });
  }

 private:
  test::World& world_;
  std::array<std::byte, sizeof(test::Sup)> saved_{};
};

}  // namespace mm::fuzz
