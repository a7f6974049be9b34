// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/hob.hpp"
#include "hal/roles/machine.hpp"

namespace mm::memory {

/// Limits of a HOB list that is still untrusted.
inline constexpr u64 kHobListLimit = 1ull << 20;

/// Walks a HOB list in memory header by header. The end pointer of the PHIT is not trusted; every length is checked.
template <hal::PhysMemory Mem>
class HobList {
 public:
  constexpr HobList(Mem& memory, PhysAddr at) noexcept : memory_(memory), at_(at) {}

  /// Calls f(PhysAddr hob, HobHeader const&) -> Expected<void> for each HOB in front of the end marker.
  /// Gives the bytes of the list, end marker included.
  /// CompromisedData: a length below 8 or not a multiple of 8, or no end within kHobListLimit. Errors of f end the
  /// walk.
  template <typename F>
  Expected<u64> for_each(F&& f) noexcept {
    for (u64 offset = 0; offset <= kHobListLimit;) {
      auto const header = hal::read_object<abi::HobHeader>(memory_, at_ + offset);
      if (header.length < sizeof(abi::HobHeader) || header.length % 8 != 0) {
        break;
      }
      if (header.type == static_cast<u16>(abi::HobType::EndOfHobList)) {
        return offset + header.length;
      }
      MM_TRY(f(at_ + offset, header));
      offset += header.length;
    }
    return std::unexpected(Status::CompromisedData);
  }

 private:
  Mem& memory_;
  PhysAddr at_;
};

}  // namespace mm::memory
