// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/lab/text/bytes.hpp"

/// `mmsim scan`: what must be known of a driver before it is tried as a Standalone MM driver in ring 3. The wording
/// follows the porting rules (core/user/RING3.md 6).
namespace mm::lab {

enum class ScanLevel : u8 {
  Error,    ///< it does not run as it is
  Warning,  ///< it may not
  Note,     ///< worth knowing
};

/// One kind of finding. `id` is stable.
struct ScanRule {
  std::string_view id;
  ScanLevel level = ScanLevel::Error;
  std::string_view title;
  std::string_view advice;  ///< what to do
};
/// Every rule, in the order in which findings are shown.
std::span<ScanRule const> scan_rules();

struct ScanFinding {
  ScanRule const* rule = nullptr;
  std::string text;
  std::optional<u64> offset;  ///< in the image file
  u32 bytes = 0;              ///< at `offset`; 0: the place is the whole file
  bool at_start = false;      ///< of an instruction: the entry point may come to it without a call by pointer

  // By debug information, which the scan itself does not look at.
  std::string place{};     ///< function and line in words; empty: unknown
  std::string function{};  ///< empty: unknown
  std::string source{};    ///< its file; empty: unknown
  u32 line = 0;            ///< of it; 0: unknown
};

/// One driver. The spans must outlive the scan.
struct ScanInput {
  std::string name;
  std::span<std::byte const> image;
  std::optional<std::span<std::byte const>> depex;
  std::optional<u8> file_type;  ///< EFI_FV_FILETYPE when it comes from a volume
};

struct ScanReport {
  std::string name;
  std::string
      module_type;  ///< "MM_STANDALONE", "traditional MM", "traditional MM and DXE", "DXE", "application", "unknown"
  std::string subsystem;  ///< "EFI boot service driver", ...
  std::vector<ScanFinding> findings;

  bool has(ScanLevel level) const;
  /// What will happen when the driver is tried, and when: at load, at dispatch, at its start, or with a message.
  std::string_view verdict() const;
};

/// Whether files of this EFI_FV_FILETYPE hold MM drivers: traditional, combined or standalone.
bool is_mm_driver(u8 file_type);

/// Error: a sentence; not a PE image at all.
std::expected<ScanReport, std::string> scan_image(ScanInput const& input);

/// The reports as SARIF 2.1.0. A finding is at its line of the source when that is known, and the image beside it; else
/// in the image.
std::string scan_sarif(std::vector<ScanReport> const& reports);

}  // namespace mm::lab
