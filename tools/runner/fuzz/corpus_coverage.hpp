// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <string>

#include "tools/runner/fuzz/driver_session.hpp"

namespace mm::runner {

/// Runs every input with which a session of `mmsim fuzz driver` ended, each on a machine of its own and `jobs` at once,
/// and writes what ran of the drivers to `folder` (tools/lab/coverage). A sentence for people; error: a sentence.
std::expected<std::string, std::string> write_corpus_coverage(PreparedSession const& session, u32 jobs,
                                                              std::filesystem::path const& folder);

}  // namespace mm::runner
