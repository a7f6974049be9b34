// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <filesystem>
#include <string>

/// What this program is: its version, the commit that it was built from, and what it runs.
namespace mm::runner {

/// "0.1.0 (commit 30e6614d)". Without git at build time the commit is "unknown".
std::string program_version();
/// Program, engine, and the images of `images`: a line each.
std::string version_text(std::filesystem::path const& images);

}  // namespace mm::runner
