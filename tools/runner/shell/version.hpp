// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>

/// What this program is: its version, the commit that it was built from, and which commit.
namespace mm::runner {

/// "0.1.0 (commit 30e6614d)". Without git at build time the commit is "unknown".
std::string program_version();
/// "0.1.0", and a commit or "unknown". tools/cmake/version.cmake writes their definitions.
extern char const kProgramVersion[];
extern char const kProgramCommit[];

}  // namespace mm::runner
