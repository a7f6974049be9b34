// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/policy/policy.hpp"

/// A secure policy as a tool sees it: roots and entries, each with the place it came from.
namespace mm::policy_tools {

using Bytes = std::vector<std::byte>;

/// Where something is: a line of the XML source (from 1), or a byte of the blob. Neither: nowhere in a file.
struct Place {
  std::optional<u32> line;
  std::optional<u64> offset;
  friend bool operator==(Place const&, Place const&) = default;
};

/// What is wrong with an input, or worth saying about it, and where.
struct Remark {
  Place place;
  std::string text;
};
/// "FILE:12: text", "FILE: at byte 0x34: text" or "FILE: text".
std::string located(std::string const& file, Remark const& remark);

/// One descriptor (core/policy/FORMAT.md 1). `base` is the MSR, port, address, instruction index or save-state field;
/// `size` is 1 for the last two.
struct Entry {
  u64 base = 0;
  u64 size = 1;
  u32 attributes = 0;  ///< policy::kRead ...
  u32 condition = 0;   ///< save state only
  Place place;
  std::vector<std::string> comments;
};

struct Root {
  policy::Type type{};
  bool deny = true;
  std::vector<Entry> entries;
  Place place;
  std::vector<std::string> comments;
};

struct Policy {
  std::vector<Root> roots;
};

/// The root of `type`, or null.
Root const* find_root(Policy const& policy, policy::Type type) noexcept;

}  // namespace mm::policy_tools
