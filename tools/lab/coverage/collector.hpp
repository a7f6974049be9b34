// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <mutex>
#include <optional>

#include "tools/lab/coverage/coverage.hpp"

namespace mm::lab {

/// The coverage of the runs of one command, which may be on several threads; nothing when no folder is given.
class CoverageCollector {
 public:
  /// Where the files go; empty: they are not wanted. To be set before the first run.
  std::filesystem::path& folder() noexcept { return folder_; }
  /// Whether a run is to count blocks: Prepared::coverage.
  bool wanted() const noexcept { return !folder_.empty(); }
  void add(Prepared const& prepared, MachineRun const& run) {
    std::scoped_lock const lock{mutex_};
    coverage_.add(prepared, run);
  }
  /// Writes the files when they are wanted. What to print, or why it cannot be written; nothing: they are not wanted.
  std::optional<std::expected<std::string, std::string>> write() const {
    return wanted() ? std::optional{write_coverage(coverage_, folder_)} : std::nullopt;
  }

 private:
  std::filesystem::path folder_;
  std::mutex mutex_;
  Coverage coverage_;
};

}  // namespace mm::lab
