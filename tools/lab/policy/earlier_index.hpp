// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <algorithm>
#include <iterator>
#include <map>
#include <vector>

#include "core/policy/policy.hpp"

namespace mm::policy_tools {

/// What policy::detail::EarlierDescriptors answers, in logarithmic time: sources of other people have any number of
/// entries. As long as nothing collides the plain descriptors of a list are disjoint, so a sorted map has them.
class EarlierIndex {
 public:
  EarlierIndex(policy::View v, policy::Root root) : view_(v), root_(root) {}

  policy::Problem next(u64 index) {
    policy::Type const type{root_.type};
    auto const span = policy::detail::span_of(view_, type, root_.offset + index * policy::descriptor_size(root_.type));
    bool const ports = type == policy::Type::Io;
    if (meets_plain(span) || (ports && holds_strict(span))) {
      return type == policy::Type::Instruction ? policy::Problem::DuplicateInstruction
             : type == policy::Type::SaveState ? policy::Problem::DuplicateField
                                               : policy::Problem::Overlap;
    }
    if (ports && span.strict) {
      add_strict(span);
    } else {
      plain_.emplace(span.base, span.base + (span.size - 1));
    }
    return policy::Problem::None;
  }

 private:
  using Span = policy::detail::Span;
  static constexpr u64 kPorts = 0x1'0000;

  bool meets_plain(Span s) const {
    auto const after = plain_.upper_bound(s.base + (s.size - 1));
    return after != plain_.begin() && std::prev(after)->second >= s.base;
  }

  /// Whether an earlier strict entry lies inside `s`: the lowest end of those that begin there, from a tree over ports.
  bool holds_strict(Span s) const {
    if (ends_.empty()) {
      return false;
    }
    u64 lowest = UINT64_MAX;
    u64 low = s.base + kPorts;
    u64 high = s.base + s.size + kPorts;
    for (; low < high; low /= 2, high /= 2) {
      if (low % 2 == 1) {
        lowest = std::min(lowest, ends_[low++]);
      }
      if (high % 2 == 1) {
        lowest = std::min(lowest, ends_[--high]);
      }
    }
    return lowest <= s.base + s.size;
  }

  void add_strict(Span s) {
    if (ends_.empty()) {
      ends_.assign(2 * kPorts, UINT64_MAX);
    }
    for (u64 at = s.base + kPorts; at != 0; at /= 2) {
      ends_[at] = std::min(ends_[at], s.base + s.size);
    }
  }

  policy::View view_;
  policy::Root root_;
  std::map<u64, u64> plain_;  ///< first -> last
  std::vector<u64> ends_;     ///< of strict port entries, a tree with its leaves at kPorts + base
};

}  // namespace mm::policy_tools
