// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

#include "sim/scenario/bytes.hpp"
#include "tools/runner/commands.hpp"

extern char** environ;

namespace mm::runner {
namespace {

namespace fs = std::filesystem;

/// Build folder of the preset `fuzz`, beside that of this program: <root>/build/<preset>/images is the images folder.
fs::path fuzz_build() { return (images_folder() / "../../fuzz/fuzz").lexically_normal(); }
fs::path source_root() { return (images_folder() / "../../..").lexically_normal(); }

struct Child {
  pid_t pid = 0;
  int messages = -1;  ///< what it writes to standard error
};

std::expected<Child, std::string> start(std::vector<std::string> arguments) {
  std::vector<char*> raw;
  for (auto& a : arguments) {
    raw.push_back(a.data());
  }
  raw.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return std::unexpected(std::string{"no pipe: "} + std::strerror(errno));
  }
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
  Child child{.pid = 0, .messages = ends[0]};
  int const error = ::posix_spawn(&child.pid, raw[0], &actions, nullptr, raw.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    return std::unexpected(fmt::format("{}: {}", arguments[0], std::strerror(error)));
  }
  return child;
}

/// The number after `key` in a status line of libFuzzer, "" when there is none.
std::string after(std::string const& line, std::string_view key) {
  auto const at = line.find(key);
  if (at == std::string::npos) {
    return "";
  }
  auto const from = line.find_first_not_of(' ', at + key.size());
  return from == std::string::npos ? "" : line.substr(from, line.find_first_of(" \n", from) - from);
}

/// Shows what libFuzzer says: one line that is overwritten on a terminal, else every line.
class Status {
 public:
  Status(std::string target, u32 seconds) : target_(std::move(target)), seconds_(seconds) {}

  void line(std::string const& text) {
    if (!terminal_) {
      std::cerr << text << '\n';
      return;
    }
    if (text.starts_with('#') && text.find("cov:") != std::string::npos) {
      auto const passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
      auto const left = std::max(0.0, seconds_ - passed);
      std::cerr << fmt::format("\r\x1b[K{}: {} runs, {} a second, coverage {}, corpus {}, {} MiB, {:.0f} s left",
                               target_, text.substr(1, text.find_first_of("\t ") - 1), after(text, "exec/s:"),
                               after(text, "cov:"), after(text, "corp:"), after(text, "rss:"), left)
                << std::flush;
    } else if (text.find("ERROR") != std::string::npos || text.find("invariant") != std::string::npos ||
               text.find("SUMMARY") != std::string::npos) {
      std::cerr << "\r\x1b[K" << text << '\n';
    }
  }
  void end() const {
    if (terminal_) {
      std::cerr << '\n';
    }
  }

 private:
  std::string target_;
  double seconds_;
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

int follow(Child const& child, Status& status) {
  if (auto* const messages = ::fdopen(child.messages, "r"); messages != nullptr) {
    char* text = nullptr;
    std::size_t room = 0;
    for (ssize_t n = 0; (n = ::getline(&text, &room, messages)) > 0;) {
      status.line(std::string{text, static_cast<std::size_t>(text[n - 1] == '\n' ? n - 1 : n)});
    }
    std::free(text);
    std::fclose(messages);
  }
  int code = 0;
  ::waitpid(child.pid, &code, 0);
  status.end();
  return WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code);
}

/// Moves what was found to `findings`, named after target and content; returns how many.
unsigned keep_findings(fs::path const& from, fs::path const& findings, std::string const& target) {
  unsigned count = 0;
  for (auto const& entry : fs::directory_iterator{from}) {
    auto const bytes = scenario::read_file(entry.path());
    if (!bytes) {
      continue;
    }
    fs::create_directories(findings);
    auto const kept = findings / fmt::format("{}-{:016x}", target, scenario::fnv1a(*bytes));
    if (!scenario::write_file(kept, *bytes)) {
      continue;
    }
    fs::remove(entry.path());
    ++count;
    std::cout << fmt::format("found {}\n  replay: mmsim repro {}\n", kept.string(), kept.string());
  }
  return count;
}

}  // namespace

std::optional<fs::path> fuzz_program(std::string const& target) {
  auto const program = fuzz_build() / ("fuzz_" + target);
  return ::access(program.c_str(), X_OK) == 0 ? std::optional{program} : std::nullopt;
}

std::string fuzz_build_hint(std::string const& target) {
  return fmt::format(
      "{} is not built. Build it:\n  cmake --preset fuzz && cmake --build --preset fuzz --target fuzz_{}",
      (fuzz_build() / ("fuzz_" + target)).string(), target);
}

int fuzz_command(FuzzOptions const& options) {
  auto const program = fuzz_program(options.target);
  if (!program) {
    std::cerr << "mmsim: " << fuzz_build_hint(options.target) << '\n';
    return kEnvironment;
  }
  auto const home = source_root() / "fuzz";
  auto const corpus = options.corpus.empty() ? fuzz_build() / ("corpus_" + options.target) : options.corpus;
  auto const found = fuzz_build() / ("found_" + options.target);
  fs::create_directories(corpus);
  fs::create_directories(found);
  std::vector<std::string> arguments{program->string(), fmt::format("-max_total_time={}", options.seconds),
                                     "-print_final_stats=1", "-artifact_prefix=" + found.string() + "/"};
  if (options.jobs > 1) {
    arguments.push_back(fmt::format("-fork={}", options.jobs));
  }
  arguments.push_back(corpus.string());
  if (auto const seeds = home / "corpus" / options.target; fs::is_directory(seeds)) {
    arguments.push_back(seeds.string());
  }
  auto const child = start(std::move(arguments));
  if (!child) {
    std::cerr << "mmsim: " << child.error() << '\n';
    return kEnvironment;
  }
  Status status{options.target, options.seconds};
  int const code = follow(*child, status);
  auto const count = keep_findings(found, home / "findings", options.target);
  if (count != 0) {
    return kFailed;
  }
  if (code != 0) {
    std::cerr << fmt::format("mmsim: {} ended with exit code {} and left no input behind\n", program->string(), code);
    return kEnvironment;
  }
  std::cout << fmt::format("nothing found; corpus in {}\n", corpus.string());
  return kPassed;
}

}  // namespace mm::runner
