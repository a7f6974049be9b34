// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <thread>

#include "core/base/types.hpp"

namespace mm::runner {

/// Tells a terminal each second how long QEMU has run, from the second one on; gone when it ends.
class Waiting {
 public:
  /// `limit`: seconds after which QEMU is stopped.
  explicit Waiting(u32 limit);

 private:
  std::jthread thread_;
};

}  // namespace mm::runner
