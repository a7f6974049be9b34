// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/fuzz/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace mm::runner {
namespace {

/// The fuzzers that are running, for the signal handler; 0: none in this place.
std::array<std::atomic<pid_t>, 64> g_children{};
static_assert(std::atomic<pid_t>::is_always_lock_free);
sig_atomic_t volatile g_interrupted = 0;

struct sigaction g_old_int = {}, g_old_term = {};

void forward(int) {
  g_interrupted = 1;
  end_fuzzers();
}

/// A place among the running fuzzers.
class Place {
 public:
  explicit Place(pid_t pid) {
    for (auto& one : g_children) {
      pid_t none = 0;
      if (one.compare_exchange_strong(none, pid)) {
        place_ = &one;
        return;
      }
    }
  }
  ~Place() {
    if (place_ != nullptr) {
      *place_ = 0;
    }
  }
  Place(Place const&) = delete;
  Place& operator=(Place const&) = delete;

 private:
  std::atomic<pid_t>* place_ = nullptr;
};

struct Child {
  pid_t pid = 0;
  int messages = -1;  ///< what it writes to standard output and standard error
};

std::vector<char*> raw_list(std::vector<std::string>& texts) {
  std::vector<char*> raw;
  for (auto& text : texts) {
    raw.push_back(text.data());
  }
  return raw;
}

/// In a process group of its own: Ctrl-C reaches it once, through forward().
std::expected<Child, std::string> start(std::vector<std::string>& arguments, std::vector<std::string>& settings) {
  auto raw = raw_list(arguments);
  raw.push_back(nullptr);
  auto environment = raw_list(settings);
  for (char** one = environ; *one != nullptr; ++one) {
    environment.push_back(*one);  // the first of a name counts
  }
  environment.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return std::unexpected(std::string{"no pipe: "} + std::strerror(errno));
  }
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  Child child{.pid = 0, .messages = ends[0]};
  int const error = ::posix_spawn(&child.pid, raw[0], &actions, &attributes, raw.data(), environment.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    return std::unexpected(fmt::format("{}: {}", arguments[0], std::strerror(error)));
  }
  return child;
}

void read_lines(int from, std::function<void(std::string_view)> const& line) {
  auto* const messages = ::fdopen(from, "r");
  if (messages == nullptr) {
    return;
  }
  char* text = nullptr;
  std::size_t room = 0;
  for (ssize_t n = 0; (n = ::getline(&text, &room, messages)) > 0;) {
    line({text, static_cast<std::size_t>(text[n - 1] == '\n' ? n - 1 : n)});
  }
  std::free(text);
  std::fclose(messages);
}

}  // namespace

Interrupts::Interrupts() {
  struct sigaction action = {};
  action.sa_handler = forward;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, &g_old_int);
  ::sigaction(SIGTERM, &action, &g_old_term);
}
Interrupts::~Interrupts() {
  ::sigaction(SIGINT, &g_old_int, nullptr);
  ::sigaction(SIGTERM, &g_old_term, nullptr);
}

bool interrupted() { return g_interrupted != 0; }

void end_fuzzers() {
  for (auto const& one : g_children) {
    if (pid_t const pid = one; pid != 0) {
      ::kill(pid, SIGINT);
    }
  }
}

std::expected<int, std::string> run_fuzzer(std::vector<std::string> arguments, std::vector<std::string> settings,
                                           std::function<void(std::string_view)> const& line) {
  auto const child = start(arguments, settings);
  if (!child) {
    return std::unexpected(child.error());
  }
  Place const place{child->pid};
  if (interrupted()) {
    ::kill(child->pid, SIGINT);
  }
  read_lines(child->messages, line);
  int code = 0;
  while (::waitpid(child->pid, &code, 0) == -1 && errno == EINTR) {
  }
  return WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code);
}

}  // namespace mm::runner
