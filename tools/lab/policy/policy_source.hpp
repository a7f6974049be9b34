// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <string>

#include "tools/lab/policy/policy_file.hpp"

namespace mm::lab {

/// The policy in a file: an XML source, a blob, a RAW section, or the policy file of a firmware file, a volume or a
/// flash image, wherever `mmsim images` finds it. Of several the first counts; others that differ are a warning. Error:
/// a sentence with the path.
std::expected<policy_tools::PolicyFile, std::string> load_policy_file(std::filesystem::path const& path);

/// The same of bytes. Error: what and where.
std::expected<policy_tools::PolicyFile, policy_tools::Remark> policy_of(std::span<std::byte const> bytes);

}  // namespace mm::lab
