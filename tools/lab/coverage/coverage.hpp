// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/symbols/debug_file.hpp"

/// Which code of drivers ran: the blocks that the simulator saw, summed over runs. (README.md has the files.)
namespace mm::lab {

/// What ran of one image.
struct ImageCoverage {
  struct Block {
    u32 bytes = 0;
    u64 count = 0;
    friend bool operator==(Block const&, Block const&) = default;
  };

  std::string name;
  ImageFile file;
  u64 hash = 0;   ///< of the bytes of the file
  u64 bytes = 0;  ///< in memory
  u64 base = 0;   ///< where it was loaded last
  u64 entry = 0;  ///< offset of its entry point
  bool core = false;
  std::map<u64, Block> blocks;  ///< by offset in the image
};

/// The images of any number of runs. Images with one name and equal bytes are one. Not for two threads at once.
class Coverage {
 public:
  /// Adds what `run` saw. Nothing, when its blocks were not asked for.
  void add(Prepared const& prepared, MachineRun const& run);
  void add(Coverage const& other);
  /// Drivers by name, then the cores.
  std::vector<ImageCoverage const*> images() const;
  bool empty() const noexcept { return images_.empty(); }

  /// The exact counts as a JSON document, and back. The error is a sentence: what is not as it must be.
  std::string to_text() const;
  static std::expected<Coverage, std::string> parse(std::string const& text);

 private:
  ImageCoverage& image(std::string const& name, u64 hash);

  std::map<std::pair<std::string, u64>, ImageCoverage> images_;
};

/// Writes coverage.json, coverage.drcov, coverage.info and index.html into `folder`, which is made. What is printed of
/// it is one sentence. The error is a sentence: what cannot be written.
std::expected<std::string, std::string> write_coverage(Coverage const& coverage, std::filesystem::path const& folder);
/// What write_coverage() left in `folder`, or the file coverage.json itself. The error names the file.
std::expected<Coverage, std::string> read_coverage(std::filesystem::path const& folder);

}  // namespace mm::lab
