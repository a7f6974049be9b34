// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <functional>

#include "tools/lab/fuzzing/driver_input.hpp"

namespace mm::lab {

/// What made an input smaller.
struct Minimised {
  std::vector<DriverMessage> messages;
  std::size_t tries = 0;  ///< runs that it took
};

/// Makes an input smaller while `still(messages)` holds: messages are dropped, then runs of bytes, the longest first,
/// then bytes become zero. At most `budget` calls of `still`, which holds for `messages` themselves.
Minimised minimise(std::vector<DriverMessage> messages, std::size_t budget,
                   std::function<bool(std::span<DriverMessage const>)> const& still);

}  // namespace mm::lab
