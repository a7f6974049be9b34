// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "tools/lab/scenario/toml_values.hpp"

namespace mm::lab {

/// One [[device]] (scenarios/DEVICES.md). Throws TomlProblem, also where it cannot be beside those of `before`, or on
/// the machines that the scenario is for: QEMU has a flash, and nothing else of a scenario's making.
DeviceSpec read_device(TomlValues const& values, toml::table const& t, std::vector<DeviceSpec> const& before,
                       bool simulated);

/// One [[hob]]: a GUID HOB with `guid`, or one of `type`; the data follow its header, padded to 8 bytes.
Bytes read_hob(TomlValues const& values, toml::table const& t);

}  // namespace mm::lab
