// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/types.hpp"
#include "core/image/pe_headers.hpp"

namespace mm::lab {

/// What of a PE file tells where its debug information is and how its functions are unwound: the directories that a
/// loader does not look at. Nothing in it is trusted: what lies outside the file is not there. The file must outlive
/// it. Facts: Microsoft's PE format, sections "Debug Directory" and ".pdata".
class PeView {
 public:
  explicit PeView(std::span<std::byte const> file) noexcept : file_(file), headers_(image::PeHeaders::find(file)) {}

  /// The bytes that lie at `rva` when the image is loaded, as far as its section reaches; empty where there are none.
  std::span<std::byte const> at(u64 rva) const noexcept;
  u64 image_base() const noexcept { return headers_ ? headers_->optional_header().image_base : 0; }
  u64 size() const noexcept { return headers_ ? headers_->optional_header().size_of_image : 0; }
  u64 entry() const noexcept { return headers_ ? headers_->optional_header().entry_point : 0; }
  /// Where the byte at this offset of the file is loaded; nothing: nowhere.
  std::optional<u64> loaded_at(u64 offset) const noexcept;
  /// Whether code lies at `rva`.
  bool is_code(u64 rva) const noexcept;
  /// Ranges of the executable sections, as far as the file has bytes for them.
  std::vector<Range> code() const;
  /// The path in a CodeView record (RSDS: a PDB; NB10: what GenFw made the image of); nothing when there is none.
  std::optional<std::string> debug_path() const;
  /// Whether that path is of a PDB.
  bool names_pdb() const;
  /// The table of functions (RUNTIME_FUNCTION, twelve bytes each); empty: none.
  std::span<std::byte const> functions() const noexcept;

 private:
  struct Record {
    u32 signature = 0;
    std::string path;
  };
  image::PeDirectory directory(u32 index) const noexcept;
  std::optional<Record> codeview() const;

  std::span<std::byte const> file_;
  std::optional<image::PeHeaders> headers_;
};

}  // namespace mm::lab
