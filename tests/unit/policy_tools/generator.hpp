// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <algorithm>
#include <random>

#include "tools/lab/policy/model.hpp"
#include "tools/lab/policy/names.hpp"

namespace mm::test {

/// Seeded policies that are valid in form: entries may overlap, lists are mixed, types come in any order.
class PolicyGenerator {
 public:
  explicit PolicyGenerator(u64 seed) : random_(seed) {}

  u64 below(u64 n) { return random_() % n; }
  bool one_in(u64 n) { return below(n) == 0; }

  policy_tools::Policy next() {
    using policy::Type;
    policy_tools::Policy out;
    std::vector<Type> types{Type::Io, Type::Msr, Type::Instruction, Type::SaveState, Type::Mem};
    std::ranges::shuffle(types, random_);
    for (auto const type : types) {
      if (type != Type::Mem && one_in(8)) {
        continue;
      }
      policy_tools::Root root{.type = type, .deny = one_in(2), .entries = {}, .place = {}, .comments = {}};
      for (u64 n = below(6); n > 0; --n) {
        root.entries.push_back(entry(type));
      }
      out.roots.push_back(root);
    }
    return out;
  }

 private:
  policy_tools::Entry entry(policy::Type type) {
    policy_tools::Entry e;
    u64 const last = type == policy::Type::Io ? 0xFFFF : 0xFFFF'FFFF;
    switch (type) {
      case policy::Type::Instruction:
        e.base = below(3);
        break;
      case policy::Type::SaveState:
        e.base = below(2);
        e.condition = static_cast<u32>(below(3));
        break;
      case policy::Type::Mem:
        e.base = below(1 << 20) << 12;
        e.size = (below(16) + 1) << 12;
        break;
      default:
        // Few places, so that entries meet; sometimes at the very end.
        e.base = one_in(8) ? last - below(8) : below(24);
        e.size = std::min<u64>(below(6) + 1, last - e.base + 1);
    }
    e.attributes = attributes(type);
    return e;
  }
  /// Either Read or LimitedRead, either Write or LimitedWrite: what the source can say.
  u32 attributes(policy::Type type) {
    u32 bits = static_cast<u32>(below(64));
    bits &= (bits & policy::kCondRead) != 0 ? ~u32{policy::kRead} : ~0u;
    bits &= (bits & policy::kCondWrite) != 0 ? ~u32{policy::kWrite} : ~0u;
    return bits & policy_tools::expressible_attributes(type);
  }

  std::mt19937_64 random_;
};

}  // namespace mm::test
