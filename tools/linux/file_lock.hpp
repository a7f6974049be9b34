// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <chrono>
#include <expected>
#include <string>

namespace mm::linux_tool {

/// An exclusive flock(2) on a file that exists, until the end of the object's life; the kernel drops it when the
/// process dies. Between processes what communication::Turn is within one.
class FileLock {
 public:
  /// Waits for the lock, at most `limit`. Error, a sentence with what to do: the file cannot be opened, or somebody
  /// else holds it all the time.
  static std::expected<FileLock, std::string> take(std::string const& path, std::chrono::milliseconds limit);
  FileLock(FileLock&& other) noexcept;
  FileLock(FileLock const&) = delete;
  FileLock& operator=(FileLock const&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int file) noexcept : file_(file) {}

  int file_;  ///< -1: moved from
};

}  // namespace mm::linux_tool
