// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/hob_list.hpp"
#include "hal/roles/machine.hpp"

namespace mm::memory {

using abi::kHobListLimit;

/// A HOB list in physical memory.
template <hal::PhysMemory Mem>
class HobList {
 public:
  constexpr HobList(Mem& memory, PhysAddr at) noexcept : memory_(memory), at_(at) {}

  /// Calls f(PhysAddr hob, HobHeader const&) -> Expected<void> for each HOB in front of the end marker.
  /// Gives the bytes of the list, end marker included.
  /// CompromisedData: a length that its type does not allow, or no end within kHobListLimit. Errors of f end the walk.
  template <typename F>
  Expected<u64> for_each(F&& f) noexcept {
    abi::HobWalk walk([this](u64 offset) noexcept { return hal::read_object<abi::HobHeader>(memory_, at_ + offset); },
                      kHobListLimit);
    for (;;) {
      auto const step = walk.next();
      if (!step || !abi::has_hob_length(step->header)) {
        return std::unexpected(Status::CompromisedData);
      }
      if (step->is_end()) {
        return step->offset + step->header.length;
      }
      MM_TRY(f(at_ + step->offset, step->header));
    }
  }

 private:
  Mem& memory_;
  PhysAddr at_;
};

}  // namespace mm::memory
