// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/symbols/symbolizer_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "core/base/types.hpp"

namespace mm::lab {
namespace {

/// So many questions are under way at once: their text fits into what a socket holds, whatever the paths.
constexpr std::size_t kAtOnce = 16;
constexpr std::size_t kMostLine = 16u << 20;

}  // namespace

std::expected<void, std::string> SymbolizerProcess::start() {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return std::unexpected(fmt::format("a pair of sockets: {}", std::strerror(errno)));
  }
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  std::array<std::string, 4> text{program_, "--output-style=JSON", "--inlines", "--no-debuginfod"};
  std::array<char*, 5> raw{text[0].data(), text[1].data(), text[2].data(), text[3].data(), nullptr};
  int const error = ::posix_spawnp(&pid_, raw[0], &actions, nullptr, raw.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  socket_ = ends[0];
  heard_.clear();
  if (error != 0) {
    pid_ = -1;
    end();
    return std::unexpected(fmt::format("{} cannot be started: {}", program_, std::strerror(error)));
  }
  return {};
}

void SymbolizerProcess::end() noexcept {
  if (socket_ >= 0) {
    ::close(socket_);
  }
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  socket_ = -1;
  pid_ = -1;
}

std::expected<void, std::string> SymbolizerProcess::say(std::string const& text) {
  for (std::size_t done = 0; done < text.size();) {
    pollfd ready{socket_, POLLOUT, 0};
    if (::poll(&ready, 1, static_cast<int>(patience_.count())) == 0) {
      return std::unexpected(program_ + " does not take a question");
    }
    ssize_t const sent = ::send(socket_, text.data() + done, text.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      return std::unexpected(program_ + " has ended");
    }
    done += sent > 0 ? static_cast<std::size_t>(sent) : 0;
  }
  return {};
}

std::expected<std::string, std::string> SymbolizerProcess::line() {
  for (std::size_t searched = 0;;) {
    if (auto const at = heard_.find('\n', searched); at != std::string::npos) {
      std::string out = heard_.substr(0, at);
      heard_.erase(0, at + 1);
      return out;
    }
    searched = heard_.size();
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(patience_.count())) == 0) {
      return std::unexpected(fmt::format("{} did not answer within {} ms", program_, patience_.count()));
    }
    std::array<char, 16384> some{};
    ssize_t const got = ::recv(socket_, some.data(), some.size(), 0);
    if (got == 0 || (got < 0 && errno != EINTR) || heard_.size() > kMostLine) {
      return std::unexpected(program_ + " has ended in the middle of an answer");
    }
    heard_.append(some.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  }
}

std::expected<std::vector<std::string>, std::string> SymbolizerProcess::ask(std::span<std::string const> questions) {
  std::vector<std::string> answers;
  if (pid_ <= 0) {
    MM_TRY(start());
  }
  while (answers.size() < questions.size()) {
    auto const some = questions.subspan(answers.size()).first(std::min(kAtOnce, questions.size() - answers.size()));
    std::string text;
    for (auto const& one : some) {
      text += one + "\n";
    }
    if (auto const said = say(text); !said) {
      end();
      return std::unexpected(said.error());
    }
    for (std::size_t i = 0; i < some.size(); ++i) {
      auto answer = line();
      if (!answer) {
        end();
        return std::unexpected(answer.error());
      }
      answers.push_back(std::move(*answer));
    }
  }
  return answers;
}

}  // namespace mm::lab
