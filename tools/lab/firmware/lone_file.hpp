// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <span>

#include "tools/lab/text/bytes.hpp"

/// FFS files that are not in a volume, as GenFfs leaves them.
namespace mm::lab {

/// Bytes of the file, nothing when `bytes` are no such file.
std::optional<u64> lone_file_bytes(std::span<std::byte const> bytes);

/// A volume with that file alone, its erase polarity as the file's state byte has it.
Bytes volume_around(std::span<std::byte const> bytes, u64 file_bytes);

}  // namespace mm::lab
