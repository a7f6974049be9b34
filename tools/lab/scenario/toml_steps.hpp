// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "tools/lab/scenario/toml_values.hpp"

namespace mm::lab {

/// One [[step]] with what it expects: its part of the program of the normal world. Throws TomlProblem.
ScenarioStep read_step(TomlValues const& values, toml::table const& step);

}  // namespace mm::lab
