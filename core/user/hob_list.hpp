// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/hob.hpp"
#include "core/user/ring3.hpp"

/// Reading the HOB list that the supervisor hands to ring 3.
namespace mm::user {

/// Address of the HOB after `hob`, 0 at the end of the list or when a length is impossible.
inline u64 next_hob(u64 hob) noexcept {
  auto const header = load<abi::HobHeader>(hob);
  if (header.type == static_cast<u16>(abi::HobType::EndOfHobList) || header.length < sizeof(abi::HobHeader) ||
      header.length % 8 != 0) {
    return 0;
  }
  return hob + header.length;
}

/// Calls `f(address, header)` for each HOB before the end of the list.
template <typename F>
void for_each_hob(u64 list, F&& f) noexcept {
  for (u64 hob = list; hob != 0; hob = next_hob(hob)) {
    auto const header = load<abi::HobHeader>(hob);
    if (header.type == static_cast<u16>(abi::HobType::EndOfHobList)) {
      return;
    }
    f(hob, header);
  }
}

/// Whether the HOB is a GUID extension named `name` with at least `payload` bytes of data.
inline bool is_guid_hob(u64 hob, Guid const& name, u64 payload) noexcept {
  auto const header = load<abi::HobHeader>(hob);
  return header.type == static_cast<u16>(abi::HobType::GuidExtension) &&
         header.length >= sizeof(abi::HobGuid) + payload && load<abi::HobGuid>(hob).name == name;
}

}  // namespace mm::user
