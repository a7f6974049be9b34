// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace mm::order {

/// Interface of OrderLog: the numbers of the markers in the order in which they were started.
struct Log {
  static constexpr u64 kMost = 56;
  u64 count = 0;
  u8 numbers[kMost] = {};
};
inline constexpr Guid kLogProtocol = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4EB000"_guid;
/// Protocol that the marker of this number installs.
constexpr Guid protocol_of(u8 number) {
  Guid guid = kLogProtocol;
  guid.data4[7] = number;
  return guid;
}

}  // namespace mm::order
