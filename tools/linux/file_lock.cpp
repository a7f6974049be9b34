// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/linux/file_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

namespace mm::linux_tool {
namespace {

constexpr std::chrono::milliseconds kBetweenTries{2};

}  // namespace

std::expected<FileLock, std::string> FileLock::take(std::string const& path, std::chrono::milliseconds limit) {
  int const file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return std::unexpected(fmt::format("{}: {}; run as root", path, std::strerror(errno)));
  }
  FileLock lock{file};
  auto const end = std::chrono::steady_clock::now() + limit;
  while (::flock(file, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return std::unexpected(fmt::format("{}: it cannot be locked: {}", path, std::strerror(errno)));
    }
    if (std::chrono::steady_clock::now() >= end) {
      return std::unexpected(fmt::format(
          "another program talks to MM (it holds a lock on {}) and did not end within {} s; nothing was sent. "
          "Try again, or wait longer with --wait SECONDS",
          path, std::chrono::duration<double>(limit).count()));
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
  return lock;
}

FileLock::FileLock(FileLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

FileLock::~FileLock() {
  if (file_ >= 0) {
    ::close(file_);
  }
}

}  // namespace mm::linux_tool
