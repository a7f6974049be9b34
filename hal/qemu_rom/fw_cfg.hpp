// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <span>

#include "core/base/types.hpp"

/// The emulator's firmware configuration device (QEMU docs/specs/fw_cfg): files by name, moved by DMA.
namespace mm::rom {

struct FwCfgFile {
  u16 key = 0;
  u32 size = 0;
};

/// The file called `name`, or nothing.
std::optional<FwCfgFile> find_file(char const* name) noexcept;
/// Reads the first `to.size()` bytes of the file; false when the device reports an error.
bool read_file(FwCfgFile file, std::span<std::byte> to) noexcept;
/// Writes `from` at the start of the file; false when the device reports an error.
bool write_file(FwCfgFile file, std::span<std::byte const> from) noexcept;

}  // namespace mm::rom
