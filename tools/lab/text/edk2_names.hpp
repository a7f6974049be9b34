// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>
#include <string_view>

#include "core/base/guid.hpp"

namespace mm::lab {

/// A GUID that MM drivers of edk2 and mu_feature_mm_supv use, under the name that their .dec files give it.
struct Edk2Name {
  std::string_view name;
  Guid guid;
};

/// Protocols, HOBs, events and handlers. The first entry of a value is its preferred name.
std::span<Edk2Name const> edk2_names();

}  // namespace mm::lab
