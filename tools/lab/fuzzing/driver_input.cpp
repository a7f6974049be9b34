// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/fuzzing/driver_input.hpp"

#include <algorithm>

namespace mm::lab {

std::vector<DriverMessage> split_messages(std::span<std::byte const> input, std::size_t most, std::size_t most_bytes) {
  std::vector<DriverMessage> out;
  while (input.size() >= kDriverHeadBytes && out.size() < most) {
    auto const claimed = static_cast<std::size_t>(load_int(input, 2, 2));
    auto const there = std::min(claimed, input.size() - kDriverHeadBytes);
    auto const data = input.subspan(kDriverHeadBytes, std::min(there, most_bytes));
    out.push_back({static_cast<u8>(input[0]), static_cast<u8>(input[1]), {data.begin(), data.end()}});
    input = input.subspan(kDriverHeadBytes + there);
  }
  return out;
}

Bytes join_messages(std::span<DriverMessage const> messages) {
  Bytes out;
  for (auto const& m : messages) {
    append_int(out, m.handler, 1);
    append_int(out, m.flags, 1);
    append_int(out, m.data.size(), 2);
    append_bytes(out, m.data);
  }
  return out;
}

}  // namespace mm::lab
