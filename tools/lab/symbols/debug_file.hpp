// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/base/types.hpp"
#include "tools/lab/text/bytes.hpp"

/// Where the debug information of an image is.
namespace mm::lab {

/// An image as it was given: its file, and its bytes when they came out of a volume. Equal files are one image.
struct ImageFile {
  std::filesystem::path file;            ///< of an image out of a volume only a name
  std::shared_ptr<Bytes const> content;  ///< null: what is in `file`; both may be there

  /// The bytes; empty when they cannot be read.
  std::shared_ptr<Bytes const> bytes() const;
};

/// A file that the symbolizer can be asked about.
struct DebugFile {
  std::filesystem::path object;
  u64 base = 0;       ///< what an offset in the image is added to
  bool dwarf = true;  ///< else the symbolizer looks for its PDB
};

/// Looks, in this order: DWARF in the image; `X.debug.efi` and `X.debug` beside it or in the folder DEBUG beside its
/// own, where edk2 leaves them; what its debug directory names, at that path and beside the image; then a PDB that is
/// at that path or beside the image, under the name in the directory or that of the image (a copy that was renamed with
/// it). Nothing: there is no debug information.
std::optional<DebugFile> find_debug_file(ImageFile const& image);

/// Copies the files beside an image, or in the folder DEBUG beside its own, that tell of its code (DWARF, PDB, the
/// linker's map) beside a copy of it, under the name of the copy. Error: "file: why".
std::expected<void, std::string> copy_debug_files(std::filesystem::path const& image,
                                                  std::filesystem::path const& copy);

/// The linker's map: `X.map` beside the image, or in the folder DEBUG beside its own. Empty: none.
std::filesystem::path find_map_file(ImageFile const& image);

}  // namespace mm::lab
