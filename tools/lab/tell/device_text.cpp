// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/device_text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mm::lab {

std::vector<std::string> device_lines(MachineRun const& run, std::size_t most) {
  std::vector<std::string> out;
  for (auto const& device : run.witness.devices) {
    std::size_t const told = std::min(most, device.accesses.size());
    for (std::size_t i = 0; i < told; ++i) {
      auto const& a = device.accesses[i];
      out.push_back(fmt::format("{}: {} {} byte{} at +{}: {}", device.name, a.write ? "write" : "read", a.bytes,
                                a.bytes == 1 ? "" : "s", hex_number(a.offset), hex_number(a.value)));
    }
    if (u64 const more = device.accesses.size() - told + device.dropped; more != 0) {
      out.push_back(fmt::format("{}: and {} more", device.name, more));
    }
  }
  return out;
}

}  // namespace mm::lab
