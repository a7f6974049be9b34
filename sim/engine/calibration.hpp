// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>
#include <expected>
#include <string>

namespace mm::sim {

/// Byte offsets inside a saved engine context of what the library has no public name for. They depend on its version,
/// so they are measured once a process with page faults whose error codes are known.
struct Calibration {
  std::size_t error_code = 0;
  std::size_t is_int = 0;
  std::size_t old_exception = 0;
};

/// Valid after calibrate() succeeded.
Calibration const& calibration() noexcept;
/// Measures, the first time only. The error is a sentence.
std::expected<void, std::string> calibrate();

}  // namespace mm::sim
