// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "tools/lab/policy/model.hpp"

/// The XML policy source (core/policy/FORMAT.md 6), read as the field's tool reads it.
///
/// One category is ours: `MEM`, with BaseAddress, Size and SecurityAttributes, so that a fetched policy has a source
/// form. A source without it ends with an empty MEM deny list, the placeholder that the supervisor fills.
namespace mm::policy_tools {

struct XmlPolicy {
  Policy policy;
  std::vector<Remark> warnings;  ///< what the field's tool accepts in silence and the author hardly meant
};

/// Error: line and what is wrong. Comments are kept with the entry or category they stand in.
std::expected<XmlPolicy, Remark> read_xml(std::string_view xml);

/// The source of a policy; `heading` becomes comments at the start.
std::string write_xml(Policy const& policy, std::vector<std::string> const& heading = {});

/// XML to blob. Error: "line 12: what is wrong".
std::expected<Bytes, std::string> compile_policy(std::string_view xml);

/// Blob to XML that compiles to the same bytes. Error: the blob is malformed, or says what the source cannot say.
std::expected<std::string, Remark> decompile_policy(std::span<std::byte const> blob,
                                                    std::vector<std::string> const& heading = {});

/// The policy of scenarios that name none: that of the published example (core/policy/FORMAT.md 7).
std::string_view default_policy_xml();

}  // namespace mm::policy_tools
