// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <span>
#include <string>
#include <vector>

#include "tools/lab/policy/model.hpp"

/// A policy as it comes in a file: XML source, V1.0 blob, or a blob in the wrapping of a section or volume.
namespace mm::policy_tools {

struct PolicyFile {
  Policy policy;
  Bytes blob;                    ///< exactly the declared Size
  bool xml = false;              ///< places are lines; otherwise offsets into `blob`
  std::string wrapping;          ///< "RAW section", "firmware volume" ...; empty: none
  std::vector<Remark> warnings;  ///< of the reader
};

/// Whether the bytes begin as an XML document does, in UTF-8 or UTF-16.
bool looks_like_xml(std::span<std::byte const> bytes);

/// Takes XML, a blob, or a RAW section. What holds volumes is opened by lab::policy_of(). Error: what is wrong and
/// where.
std::expected<PolicyFile, Remark> read_policy(std::span<std::byte const> bytes);

/// Why the supervisor would refuse this policy, with the line of the source where it has one; or nothing.
std::optional<Remark> refusal(PolicyFile const& file);

}  // namespace mm::policy_tools
