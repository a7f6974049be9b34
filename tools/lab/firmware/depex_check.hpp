// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <span>
#include <string>

#include "core/base/types.hpp"

namespace mm::lab {

/// Why a dependency expression holds with no set of protocols, nothing when it can hold or nobody knows. It asks the
/// evaluator of the user core. An empty expression holds.
std::optional<std::string> why_depex_never_holds(std::span<std::byte const> depex);

}  // namespace mm::lab
