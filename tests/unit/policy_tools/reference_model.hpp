// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <algorithm>

#include "tools/lab/policy/access.hpp"

/// The decision of a policy, written from core/policy/FORMAT.md 2 and not from the engine: a table of what each type
/// asks of an entry, over sets of bytes. Where the two references differ, the rule at its end: an allow list must
/// contain the access completely in one entry, a deny list refuses any overlap, a strict entry is exact.
namespace mm::test {

inline bool reference_covers(policy_tools::Root const& root, policy_tools::Entry const& e,
                             policy_tools::Access const& a) {
  bool const strict = root.type == policy::Type::Io && (e.attributes & 8) != 0;
  if (strict) {
    return e.base == a.address && e.size == a.width;
  }
  u64 covered = 0;
  for (u64 i = 0; i < a.width; ++i) {
    u64 const byte = a.address + i;
    covered += byte >= e.base && byte < e.base + e.size ? 1u : 0u;
  }
  return root.deny ? covered != 0 : covered == a.width;
}

inline bool reference_matches(policy_tools::Root const& root, policy_tools::Entry const& e,
                              policy_tools::Access const& a) {
  switch (root.type) {
    case policy::Type::Msr:
    case policy::Type::Io:
      return reference_covers(root, e, a) && (e.attributes & a.access) != 0;
    case policy::Type::Instruction:
      return e.base == a.address && (e.attributes & 4) != 0;
    case policy::Type::SaveState: {
      // Contradictory entries: Read with a condition, or Read and LimitedRead together, count as conditional.
      bool const plain = (e.attributes & 1) != 0 && (e.attributes & 0x10) == 0 && e.condition == 0;
      bool const limited =
          (e.attributes & 0x10) != 0 && a.trap != policy::IoTrap::None && e.condition == static_cast<u32>(a.trap);
      bool const any_read = (e.attributes & 0x11) != 0;
      return e.base == a.address && (root.deny ? any_read : plain || limited);
    }
    default:
      return false;
  }
}

inline Status reference_decision(policy_tools::Policy const& policy, policy_tools::Access const& a) {
  bool const read_or_write = a.access == 1 || a.access == 2;
  bool const well_formed = a.type == policy::Type::Msr ? read_or_write
                           : a.type == policy::Type::Io
                               ? read_or_write && (a.width == 1 || a.width == 2 || a.width == 4) &&
                                     a.address <= 0xFFFF && a.address + a.width <= 0x10000
                           : a.type == policy::Type::Instruction ? a.address < 3
                                                                 : true;
  if (!well_formed) {
    return Status::InvalidParameter;
  }
  auto const* const root = policy_tools::find_root(policy, a.type);
  if (root == nullptr) {
    return a.type == policy::Type::SaveState ? Status::Success : Status::AccessDenied;
  }
  bool const match =
      std::ranges::any_of(root->entries, [&](policy_tools::Entry const& e) { return reference_matches(*root, e, a); });
  return match != root->deny ? Status::Success : Status::AccessDenied;
}

}  // namespace mm::test
