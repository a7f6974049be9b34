// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <span>
#include <string>
#include <vector>

#include "sim/policy/model.hpp"

/// A policy as it comes in a file: XML source, V1.0 blob, or a blob in the wrapping of a firmware volume.
namespace mm::policy_tools {

struct PolicyFile {
  Policy policy;
  Bytes blob;                    ///< exactly the declared Size
  bool xml = false;              ///< places are lines; otherwise offsets into `blob`
  std::string wrapping;          ///< "RAW section", "FREEFORM file in a RAW section" ...; empty: none
  std::vector<Remark> warnings;  ///< of the reader
};

/// Takes XML (UTF-8), a blob, a RAW section, a policy file with its FFS header, or a firmware volume with a policy file
/// (81FF0793-..., FREEFORM with a RAW section). Error: what is wrong and where.
std::expected<PolicyFile, Remark> read_policy(std::span<std::byte const> bytes);

/// Why the supervisor would refuse this policy, with the line of the source where it has one; or nothing.
std::optional<Remark> refusal(PolicyFile const& file);

}  // namespace mm::policy_tools
