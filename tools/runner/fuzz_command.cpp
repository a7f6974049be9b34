// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <set>

#include "tools/lab/text/bytes.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/fuzz_status.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct FuzzOptions {
  std::string target;
  u32 seconds = 60;  ///< 0: no limit
  u64 runs = 0;      ///< executions; 0: no limit
  u32 seed = 0;      ///< 0: a new one each time
  u32 jobs = 1;
  bool fast = false;               ///< the program without sanitizers
  bool keep_going = false;         ///< do not end at the first finding
  std::filesystem::path corpus;    ///< empty: a folder below build/
  std::filesystem::path findings;  ///< empty: a folder below build/
  std::string defect;              ///< one that the target plants, for tests; empty: none
};

fs::path source_root() { return (images_folder() / "../../..").lexically_normal(); }

constexpr int kInterruptedCode = 72;  ///< libFuzzer's exit code after SIGINT
constexpr int kBadDefectCode = 2;     ///< fuzz/support/entry.cpp

/// The fuzzer that is running, for the signal handler.
sig_atomic_t volatile g_child = 0;
sig_atomic_t volatile g_interrupted = 0;

void forward(int) {
  g_interrupted = 1;
  if (g_child != 0) {
    ::kill(g_child, SIGINT);
  }
}

/// Hands SIGINT and SIGTERM on to the fuzzer, which ends after the input that it is running.
class Interrupts {
 public:
  Interrupts() {
    struct sigaction action = {};
    action.sa_handler = forward;
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGINT, &action, &old_int_);
    ::sigaction(SIGTERM, &action, &old_term_);
  }
  ~Interrupts() {
    ::sigaction(SIGINT, &old_int_, nullptr);
    ::sigaction(SIGTERM, &old_term_, nullptr);
  }
  Interrupts(Interrupts const&) = delete;
  Interrupts& operator=(Interrupts const&) = delete;

 private:
  struct sigaction old_int_ = {}, old_term_ = {};
};

/// Where one target keeps what it learns.
struct Places {
  fs::path corpus;
  fs::path findings;
  fs::path fresh;  ///< what libFuzzer writes before it gets its name; below findings
  fs::path log;    ///< all that the fuzzer wrote, of the last session
};

std::expected<Places, std::string> make_places(FuzzOptions const& o) {
  auto const home = source_root() / "build/fuzz" / o.target;
  Places p{.corpus = o.corpus.empty() ? home / "corpus" : o.corpus,
           .findings = o.findings.empty() ? home / "findings" : o.findings,
           .fresh = {},
           .log = {}};
  p.fresh = p.findings / ".new";
  p.log = p.findings / "log.txt";
  for (auto const& folder : {p.corpus, p.findings, p.fresh}) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (!fs::is_directory(folder) || ::access(folder.c_str(), W_OK) != 0) {
      return std::unexpected(fmt::format("{}: not a folder that can be written", folder.string()));
    }
  }
  return p;
}

struct Child {
  pid_t pid = 0;
  int messages = -1;  ///< what it writes to standard output and standard error
};

/// In a process group of its own: Ctrl-C reaches it once, through forward().
std::expected<Child, std::string> start(std::vector<std::string> arguments, FuzzOptions const& options) {
  std::vector<char*> raw;
  for (auto& a : arguments) {
    raw.push_back(a.data());
  }
  raw.push_back(nullptr);
  ::setenv("MM_FUZZ_PROGRESS", "1", 1);
  ::setenv("MM_FUZZ_DEFECT", options.defect.c_str(), 1);
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
  int const error = ::posix_spawn(&child.pid, raw[0], &actions, &attributes, raw.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    return std::unexpected(fmt::format("{}: {}", arguments[0], std::strerror(error)));
  }
  g_child = child.pid;
  return child;
}

/// Reads what the child says until it ends; gives its exit code, 128 + signal when it was killed.
int follow(Child const& child, FuzzStatus& status, std::ostream& log) {
  if (auto* const messages = ::fdopen(child.messages, "r"); messages != nullptr) {
    char* text = nullptr;
    std::size_t room = 0;
    for (ssize_t n = 0; (n = ::getline(&text, &room, messages)) > 0;) {
      std::string const line{text, static_cast<std::size_t>(text[n - 1] == '\n' ? n - 1 : n)};
      log << line << '\n';
      status.line(line);
    }
    std::free(text);
    std::fclose(messages);
  }
  int code = 0;
  while (::waitpid(child.pid, &code, 0) == -1 && errno == EINTR) {
  }
  g_child = 0;
  return WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code);
}

/// Moves what was found to the findings, named after target and content. libFuzzer also reports inputs that are merely
/// slow: they stay behind.
std::vector<fs::path> keep_findings(Places const& places, std::string const& target) {
  std::vector<fs::path> kept;
  for (auto const& entry : fs::directory_iterator{places.fresh}) {
    auto const name = entry.path().filename().string();
    auto const bytes = lab::read_file(entry.path());
    if (!bytes || name.starts_with("slow-unit-")) {
      continue;
    }
    auto const path = places.findings / fmt::format("{}-{:016x}", target, lab::fnv1a(*bytes));
    if (lab::write_file(path, *bytes)) {
      fs::remove(entry.path());
      kept.push_back(path);
    }
  }
  return kept;
}

std::vector<std::string> command_line(fs::path const& program, FuzzOptions const& o, Places const& places, u32 seconds,
                                      u32 round) {
  auto const home = source_root() / "fuzz";
  std::vector<std::string> a{program.string(), "-print_final_stats=1",
                             "-artifact_prefix=" + places.fresh.string() + "/", "-rss_limit_mb=4096"};
  if (seconds != 0) {
    a.push_back(fmt::format("-max_total_time={}", seconds));
  }
  if (o.runs != 0) {
    a.push_back(fmt::format("-runs={}", o.runs));
  }
  if (o.seed != 0) {
    a.push_back(fmt::format("-seed={}", o.seed + round));
  }
  if (o.jobs > 1) {
    a.push_back(fmt::format("-fork={}", o.jobs));
  }
  if (auto const words = home / "dictionaries" / (o.target + ".dict"); fs::is_regular_file(words)) {
    a.push_back("-dict=" + words.string());
  }
  a.push_back(places.corpus.string());
  if (auto const seeds = home / "corpus" / o.target; fs::is_directory(seeds)) {
    a.push_back(seeds.string());
  }
  return a;
}

struct Session {
  std::vector<fs::path> findings;
  std::string error;  ///< of the environment, or of the input when `bad_input`
  bool bad_input = false;
};

/// Runs the fuzzer until its time is over; after a finding it ends, or with keep_going starts again for the rest.
Session fuzz(fs::path const& program, FuzzOptions const& o, Places const& places, FuzzStatus& status) {
  Session session;
  std::ofstream log{places.log};
  auto const begin = Clock::now();
  for (u32 round = 0;; ++round) {
    auto const passed = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin).count();
    u32 const left = o.seconds > passed ? o.seconds - static_cast<u32>(passed) : 0;
    auto const child = start(command_line(program, o, places, left, round), o);
    if (!child) {
      session.error = child.error();
      return session;
    }
    int const code = follow(*child, status, log);
    auto const kept = keep_findings(places, o.target);
    session.findings.insert(session.findings.end(), kept.begin(), kept.end());
    status.findings(session.findings.size());
    if (code == kInterruptedCode || g_interrupted != 0) {
      return session;
    }
    if (kept.empty() && code != 0) {
      session.bad_input = code == kBadDefectCode && !o.defect.empty();
      session.error = fmt::format("{} ended with exit code {} and left no input behind; its words are in {}",
                                  program.string(), code, places.log.string());
      return session;
    }
    if (kept.empty() || !o.keep_going || (o.seconds != 0 && left <= 1)) {
      return session;
    }
  }
}

/// Runs libFuzzer on one target; kFailed when it found something.
int fuzz_command(FuzzOptions const& options) {
  auto const program = fuzz_program_path(options.target, options.fast);
  if (::access(program.c_str(), X_OK) != 0) {
    std::cerr << "mmsim: " << fuzz_build_hint(options.target, options.fast) << '\n';
    return kEnvironment;
  }
  auto const places = make_places(options);
  if (!places) {
    std::cerr << "mmsim: " << places.error() << '\n';
    return kBadInput;
  }
  Interrupts const interrupts;
  FuzzStatus status{options.target, options.seconds, places->corpus};
  auto const session = fuzz(program, options, *places, status);
  status.end();
  for (auto const& path : session.findings) {
    std::cout << fmt::format("found {}\n  replay: mmsim repro {} --kind {}{}\n", path.string(), path.string(),
                             options.target, options.defect.empty() ? "" : " --defect " + options.defect);
  }
  if (!session.error.empty()) {
    std::cerr << "mmsim: " << (session.bad_input ? status.last_words() : session.error) << '\n';
    return session.bad_input ? kBadInput : kEnvironment;
  }
  std::cout << status.summary(g_interrupted != 0) << '\n';
  return session.findings.empty() ? kPassed : kFailed;
}

}  // namespace

std::filesystem::path fuzz_program_path(std::string const& target, bool fast) {
  auto const* const preset = fast ? "host-release" : "host-debug";
  return (images_folder() / "../.." / preset / "fuzz" / ("fuzz_" + target)).lexically_normal();
}

std::string fuzz_build_hint(std::string const& target, bool fast) {
  return fmt::format("{} is not built. Build it:\n  ninja -C build/{} fuzz_{} images",
                     fuzz_program_path(target, fast).string(), fast ? "host-release" : "host-debug", target);
}

Command add_fuzz_command(Arguments program) {
  auto const o = std::make_shared<FuzzOptions>();
  std::vector<std::string> const targets{kFuzzTargets.begin(), kFuzzTargets.end()};
  auto fuzz = program.command("fuzz", "Run a fuzzer; Ctrl-C ends it, and what it learned stays");
  fuzz.option("TARGET", o->target, "What to fuzz").required().one_of(targets);
  auto const time =
      fuzz.option("--time", o->seconds, "Seconds; 0: until Ctrl-C. Default 60, 0 with --runs").range(0, 10'000'000);
  fuzz.option("--runs", o->runs, "Most executions").not_negative();
  fuzz.option("--seed", o->seed, "Seed of the mutations; the same seed and --runs do the same again").not_negative();
  fuzz.option("--jobs", o->jobs, "Processes").range(1, 64);
  fuzz.option("--corpus", o->corpus, "Folder that keeps inputs which reach something new");
  fuzz.option("--findings", o->findings, "Folder that keeps inputs which broke something");
  fuzz.flag("--keep-going", o->keep_going, "Go on after a finding, until the time is over");
  fuzz.flag("--fast", o->fast, "The program without sanitizers");
  fuzz.option("--defect", o->defect, "Plant a defect").hidden();  // for tests
  fuzz.footer(
      "Exit code 1: something was found; each finding is a file that `mmsim repro FILE` runs again.\n"
      "Examples:\n"
      "  mmsim fuzz communicate --time 3600 --jobs 2\n"
      "  mmsim fuzz image --runs 100000 --seed 1");
  return {fuzz, [o, time] {
            o->seconds = !time.given() && o->runs != 0 ? 0 : o->seconds;
            return fuzz_command(*o);
          }};
}

}  // namespace mm::runner
