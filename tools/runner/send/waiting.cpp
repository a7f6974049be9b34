// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/send/waiting.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <iostream>
#include <mutex>

#include "tools/lab/text/terminal.hpp"

namespace mm::runner {
namespace {

void tell(std::stop_token const& stop, u32 limit) {
  std::mutex mutex;
  std::condition_variable_any ended;
  std::unique_lock lock{mutex};
  for (u32 seconds = 1; !stop.stop_requested(); ++seconds) {
    ended.wait_for(lock, stop, std::chrono::seconds{1}, [] { return false; });
    if (seconds > 1 && !stop.stop_requested()) {
      std::cerr << fmt::format("\r\x1b[KQEMU runs for {} of at most {} seconds", seconds, limit) << std::flush;
    }
  }
  std::cerr << "\r\x1b[K" << std::flush;
}

}  // namespace

Waiting::Waiting(u32 limit) {
  if (lab::is_terminal(STDERR_FILENO)) {
    thread_ = std::jthread{[limit](std::stop_token const& stop) { tell(stop, limit); }};
  }
}

}  // namespace mm::runner
