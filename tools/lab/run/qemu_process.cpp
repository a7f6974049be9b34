// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/run/qemu_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include "tools/lab/run/interruption.hpp"

namespace mm::lab {
namespace {

constexpr int kAnswerMs = 2000;
constexpr std::string_view kPrompt = "(qemu) ";

/// The digits behind `key` in `text`; nothing when it is not there.
std::optional<u64> number_behind(std::string_view text, std::string_view key, int base) {
  auto const at = text.find(key);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  u64 value = 0;
  auto const* const from = text.data() + at + key.size();
  auto const done = std::from_chars(from, text.data() + text.size(), value, base);
  return done.ec == std::errc{} && done.ptr != from ? std::optional{value} : std::nullopt;
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

std::string qemu_value(std::filesystem::path const& path) {
  std::string out;
  for (char const c : path.string()) {
    out.append(c == ',' ? 2 : 1, c);
  }
  return out;
}

std::expected<QemuProcess, std::string> QemuProcess::start(std::vector<std::string> arguments,
                                                           std::optional<std::filesystem::path> const& log) {
  std::vector<char*> raw;
  for (auto& a : arguments) {
    raw.push_back(a.data());
  }
  raw.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  std::array<int, 2> ends{-1, -1};
  if (log && ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return std::unexpected(fmt::format("a pair of sockets: {}", std::strerror(errno)));
  }
  if (log) {
    ::posix_spawn_file_actions_addopen(&actions, 2, log->c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  }
  pid_t pid = 0;
  int const error = ::posix_spawnp(&pid, raw[0], &actions, nullptr, raw.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (log) {
    ::close(ends[1]);
  }
  if (error != 0) {
    ::close(ends[0]);
    return std::unexpected(fmt::format("{}: {}", arguments[0], std::strerror(error)));
  }
  note_child(pid);
  return QemuProcess{pid, ends[0]};
}

QemuProcess::~QemuProcess() {
  kill();
  if (monitor_ >= 0) {
    ::close(monitor_);
  }
}

std::optional<int> QemuProcess::exit_code() noexcept {
  siginfo_t ended{};
  bool const is_over = !code_ && pid_ > 0 &&
                       ::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                       ended.si_pid == pid_;
  if (is_over) {
    reap();
  }
  return code_;
}

void QemuProcess::kill() noexcept {
  if (pid_ <= 0 || exit_code()) {
    return;
  }
  ::kill(pid_, SIGKILL);
  reap();
}

/// Waits for the end of the process.
void QemuProcess::reap() noexcept {
  int status = 0;
  forget_child(pid_);
  ::waitpid(pid_, &status, 0);
  code_ = code_of(status);
}

std::vector<CpuView> parse_cpus(std::string_view text) {
  constexpr std::string_view kHead = "CPU#";
  std::vector<CpuView> out;
  for (auto at = text.find(kHead); at != std::string_view::npos;) {
    auto const next = text.find(kHead, at + kHead.size());
    auto const one = text.substr(at, next == std::string_view::npos ? next : next - at);
    auto const index = number_behind(one, kHead, 10);
    auto const long_mode = number_behind(one, "RIP=", 16);
    auto const rip = long_mode ? long_mode : number_behind(one, "EIP=", 16);
    auto const cpl = number_behind(one, "CPL=", 10);
    auto const smm = number_behind(one, "SMM=", 10);
    auto const hlt = number_behind(one, "HLT=", 10);
    if (index && rip && cpl && smm && hlt) {
      out.push_back({static_cast<u32>(*index), *smm != 0, *hlt != 0, static_cast<u32>(*cpl), *rip});
    }
    at = next;
  }
  return out;
}

std::string describe(CpuView const& cpu) {
  return fmt::format("CPU {} at {:#x}, {} MM, CPL {}{}", cpu.index, cpu.rip, cpu.in_mm ? "in" : "outside", cpu.cpl,
                     cpu.halted ? ", in HLT" : "");
}

std::optional<std::string> QemuMonitor::read_to_prompt() const {
  std::string text;
  std::array<char, 4096> some{};
  while (!text.ends_with(kPrompt)) {
    pollfd waits{descriptor_, POLLIN, 0};
    auto const got = ::poll(&waits, 1, kAnswerMs) == 1 ? ::read(descriptor_, some.data(), some.size()) : -1;
    if (got <= 0) {
      return std::nullopt;
    }
    text.append(some.data(), static_cast<std::size_t>(got));
  }
  return text;
}

std::vector<CpuView> QemuMonitor::cpus() {
  constexpr std::string_view kCommand = "info registers -a\n";
  if (descriptor_ < 0 || (!greeted_ && !read_to_prompt())) {
    return {};
  }
  greeted_ = true;
  if (::send(descriptor_, kCommand.data(), kCommand.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(kCommand.size())) {
    return {};
  }
  auto const text = read_to_prompt();
  return text ? parse_cpus(*text) : std::vector<CpuView>{};
}

}  // namespace mm::lab
