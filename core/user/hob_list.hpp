// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/hob_list.hpp"
#include "core/user/ring3.hpp"

/// Reading the HOB list that the supervisor hands to ring 3.
namespace mm::user {

/// Address of the HOB after `hob`, 0 at the end of the list or when a length is impossible. Ring 0 wrote the list and
/// has bounded it; a HOB has no limit but its own length here.
inline u64 next_hob(u64 hob) noexcept {
  abi::HobWalk walk([hob](u64) noexcept { return load<abi::HobHeader>(hob); }, abi::kHobListLimit);
  auto const step = walk.next();
  return step && !step->is_end() ? hob + step->header.length : 0;
}

/// Calls `f(address, header)` for each HOB before the end of the list.
template <typename F>
void for_each_hob(u64 list, F&& f) noexcept {
  u64 next = 0;
  for (u64 hob = list; (next = next_hob(hob)) != 0; hob = next) {
    f(hob, load<abi::HobHeader>(hob));
  }
}

/// Whether the HOB is a GUID extension named `name` with at least `payload` bytes of data.
inline bool is_guid_hob(u64 hob, Guid const& name, u64 payload) noexcept {
  auto const header = load<abi::HobHeader>(hob);
  return header.type == static_cast<u16>(abi::HobType::GuidExtension) &&
         header.length >= sizeof(abi::HobGuid) + payload && load<abi::HobGuid>(hob).name == name;
}

}  // namespace mm::user
