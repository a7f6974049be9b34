// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/run/interruption.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>

namespace mm::lab {
namespace {

/// More emulators at once than this are not killed by a signal; they end with their own time limit.
constexpr std::size_t kMostChildren = 256;

// Of the process, because a signal is: a handler reaches nothing else.
std::atomic<int> g_signal{0};
std::array<std::atomic<pid_t>, kMostChildren> g_children{};
static_assert(std::atomic<pid_t>::is_always_lock_free);

struct sigaction g_old_int;
struct sigaction g_old_term;

void kill_children() noexcept {
  for (auto const& child : g_children) {
    if (pid_t const pid = child.load(); pid > 0) {
      ::kill(pid, SIGKILL);
    }
  }
}

void on_signal(int number) noexcept {
  if (g_signal.exchange(number) != 0) {
    ::_exit(128 + number);
  }
  kill_children();
}

}  // namespace

Interruption::Interruption() noexcept {
  g_signal = 0;
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, &g_old_int);
  ::sigaction(SIGTERM, &action, &g_old_term);
}

Interruption::~Interruption() {
  ::sigaction(SIGINT, &g_old_int, nullptr);
  ::sigaction(SIGTERM, &g_old_term, nullptr);
}

int Interruption::signal() noexcept { return g_signal.load(); }

void note_child(pid_t pid) noexcept {
  for (auto& child : g_children) {
    if (pid_t free = 0; child.compare_exchange_strong(free, pid)) {
      break;
    }
  }
  if (g_signal.load() != 0) {
    ::kill(pid, SIGKILL);
  }
}

void forget_child(pid_t pid) noexcept {
  for (auto& child : g_children) {
    if (pid_t its = pid; child.compare_exchange_strong(its, 0)) {
      return;
    }
  }
}

}  // namespace mm::lab
