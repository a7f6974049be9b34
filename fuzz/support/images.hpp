// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace mm::fuzz {

/// The images that a target boots: those that MM_IMAGES names, else those of the folder `images` beside the program, as
/// a fuzzing service has them, else those that were built with it.
inline std::string images_folder(char const* built) {
  if (char const* const given = std::getenv("MM_IMAGES"); given != nullptr && *given != '\0') {
    return given;
  }
  std::error_code error;
  auto const beside = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "images";
  return std::filesystem::is_regular_file(beside / "MmUserCore.efi", error) ? beside.string() : built;
}

}  // namespace mm::fuzz
