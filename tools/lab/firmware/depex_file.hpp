// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <span>
#include <string>

#include "tools/lab/text/bytes.hpp"

namespace mm::lab {

/// The expression inside a whole DEPEX section of one of the three types, other bytes as they are. No expression looks
/// so: its first byte would be an opcode, and the fourth none.
std::span<std::byte const> depex_of_section(std::span<std::byte const> bytes);

/// The dependency expression in a file that a build left: bare opcodes (`OUTPUT/Name.depex`), or a whole DEPEX section
/// (`.dpx` of an FFS folder), whose header is taken off. Error: a sentence with the path.
std::expected<Bytes, std::string> read_depex_file(std::filesystem::path const& path);

}  // namespace mm::lab
