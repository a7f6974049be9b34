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

/// Whether the budget allows another try, and whether a candidate was taken: then it is the best from now on.
struct Attempts {
  std::function<bool()> over;
  std::function<bool(Bytes const&)> take;
};
/// Offers `data` without runs of its bytes, the longest first, from the end to the front.
void drop_bytes(Bytes data, Attempts const& attempts);
/// Offers `data` with zeros for runs of its bytes, the longest first.
void zero_bytes(Bytes data, Attempts const& attempts);

}  // namespace mm::lab
