// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "tools/lab/text/bytes.hpp"

namespace mm::lab {

/// One file of a firmware volume, with its sections in the order DEPEX, PE32, RAW, UI.
struct FvFileSpec {
  Guid name;
  u8 type = 0x0E;  ///< EFI_FV_FILETYPE
  std::optional<Bytes> depex;
  std::optional<Bytes> pe32;
  std::optional<Bytes> raw;
  std::string ui;  ///< USER_INTERFACE section when not empty
};

/// EFI_FIRMWARE_VOLUME_HEADER with one range of 4 KiB blocks and its checksum (PI 1.8 vol. 3, 3.2.1): 72 bytes. `bytes`
/// of the volume are whole blocks.
Bytes volume_header(Guid const& file_system, u64 bytes);

/// Builds one volume (FFS2, or FFS3 when a file is 16 MiB or larger) with erase polarity 1, padded with FF to whole
/// 4 KiB blocks (core/user/RING3.md 2.3). Error: a sentence.
std::expected<Bytes, std::string> write_fv(std::vector<FvFileSpec> const& files);

}  // namespace mm::lab
