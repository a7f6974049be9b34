// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/run/interruption.hpp"

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
std::atomic<WithoutChildren> g_without{WithoutChildren::End};
static_assert(std::atomic<pid_t>::is_always_lock_free);

/// False: there was none.
bool kill_children() noexcept {
  bool any = false;
  for (auto const& child : g_children) {
    if (pid_t const pid = child.load(); pid > 0) {
      ::kill(pid, SIGKILL);
      any = true;
    }
  }
  return any;
}

void on_signal(int number) noexcept {
  bool const again = g_signal.exchange(number) != 0;
  bool const killed = kill_children();
  if (again || (!killed && g_without.load() == WithoutChildren::End)) {
    ::_exit(128 + number);
  }
}

}  // namespace

Interruption::Interruption(WithoutChildren without) noexcept : old_without_(g_without.exchange(without)) {
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, &old_int_);
  ::sigaction(SIGTERM, &action, &old_term_);
}

Interruption::~Interruption() {
  ::sigaction(SIGINT, &old_int_, nullptr);
  ::sigaction(SIGTERM, &old_term_, nullptr);
  g_without = old_without_;
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
