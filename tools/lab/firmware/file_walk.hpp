// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/image/fv.hpp"

/// Walks the files of a volume as a tool has to: damage is told, and what is behind it is found again.
namespace mm::lab {

/// "what is wrong (at 0x48)"
std::string sentence(image::FvError const& error);

/// One file in use. `problems`: a loader would not take it.
struct WalkedFile {
  image::FvFile file;
  std::vector<std::string> problems;
  std::optional<u64> superseded_by;  ///< offset of the file that takes its place
};

struct WalkedVolume {
  std::vector<WalkedFile> files;      ///< pad files included
  std::vector<std::string> problems;  ///< where a loader ends, or what could not be listed
  std::vector<std::string> remarks;   ///< what no loader looks at
};

/// The files of the volume at the start of `bytes`, whose header is `header`; at most `most`. Takes time in proportion
/// to the volume.
WalkedVolume walk_files(std::span<std::byte const> bytes, image::VolumeHeader const& header, std::size_t most);

}  // namespace mm::lab
