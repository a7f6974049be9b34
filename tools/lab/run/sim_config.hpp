// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "sim/machine/machine.hpp"
#include "tools/lab/run/prepare.hpp"

namespace mm::lab {

inline sim::WindowSpec window_of(DeviceSpec const& device) {
  sim::WindowSpec out{device.name, device.ports, device.base, {}};
  if (device.kind == DeviceSpec::Kind::Flash) {
    out.device = sim::FlashSpec{device.bytes, device.content};
    return out;
  }
  sim::RegisterWindowSpec registers{device.bytes, device.fill, {}, device.content};
  for (auto const& r : device.registers) {
    registers.registers.push_back({r.at, r.width, r.value, r.reads, r.clears});
  }
  out.device = std::move(registers);
  return out;
}

/// The simulated machine that a prepared scenario asks for; whoever makes it adds what it wants to see. `prepared` must
/// live until Simulator::create().
inline sim::MachineConfig machine_config(Prepared const& prepared) {
  Scenario const& s = prepared.scenario;
  sim::MachineConfig config;
  config.boot = s.boot;
  config.profile = s.reference_profile ? sim::Profile::Reference : sim::Profile::Q35Tcg;
  config.save_state = s.intel_save_state ? sim::SaveStateLayout::Intel : sim::SaveStateLayout::Amd64;
  config.seed = s.seed;
  config.defects = prepared.defects;
  config.mmi_entry = prepared.mmi_entry;
  for (auto const& device : s.devices) {
    config.windows.push_back(window_of(device));
  }
  return config;
}

}  // namespace mm::lab
