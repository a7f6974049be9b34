// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <optional>
#include <span>
#include <string>

#include "core/base/types.hpp"

namespace mm::lab {

/// What the host finds in one image before the machine sees it.
struct ImageFindings {
  std::optional<u32> rsm_at_boundary;  ///< RVA of the first RSM on an instruction boundary: the image must be refused
  u32 rsm_inside = 0;                  ///< 0F AA inside other instructions or data: a warning
};

/// Parses the PE32+ image and sweeps its executable sections linearly. Error: a sentence about the malformed header.
std::expected<ImageFindings, std::string> check_image(std::span<std::byte const> image);

}  // namespace mm::lab
