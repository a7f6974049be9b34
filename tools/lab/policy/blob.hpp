// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <span>
#include <string>

#include "tools/lab/policy/model.hpp"

/// The V1.0 blob (core/policy/FORMAT.md 1): model to bytes and back.
namespace mm::policy_tools {

/// Header, roots in order, bodies in order: the layout of the field's tool. Values wider than their field are cut.
Bytes encode(Policy const& policy);

/// The roots and entries of a blob, each with its byte offset. Bytes after the declared Size are not looked at.
/// Error: what policy::validate() finds wrong with the header, the roots or the arrays. What it finds wrong with
/// entries is no error here: a tool has to be able to show them.
std::expected<Policy, Remark> decode(std::span<std::byte const> blob);

/// Everything that policy::validate() looks at: why the supervisor would refuse this blob, or nothing.
std::optional<Remark> refusal(std::span<std::byte const> blob);

/// Sentence about what validate() found: what is wrong, and what the rule is.
std::string_view problem_text(policy::Problem problem) noexcept;

/// Name of the field of the blob that holds this byte: "PolicyRootSize of root 2".
std::string field_at(std::span<std::byte const> blob, u64 offset);

}  // namespace mm::policy_tools
