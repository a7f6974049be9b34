// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "core/abi/console.hpp"
#include "sim/scenario/run.hpp"

namespace mm::scenario {
namespace {

namespace fs = std::filesystem;
constexpr std::chrono::seconds kNoTimeout = std::chrono::hours{24 * 365};
constexpr int kTimedOut = -1;

/// A folder of this run, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "mmsim-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) {
      path_ = pattern;
    }
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) {
      fs::remove_all(path_, ignored);
    }
  }
  TemporaryFolder(TemporaryFolder const&) = delete;
  TemporaryFolder& operator=(TemporaryFolder const&) = delete;
  fs::path const& path() const { return path_; }

 private:
  fs::path path_;
};

std::vector<std::string> command_line(Prepared const& p, fs::path const& folder) {
  auto const file = [&](char const* name) {
    return fmt::format("name=opt/mm/{},file={}", name, (folder / name).string());
  };
  std::vector<std::string> line{"qemu-system-x86_64",
                                "-machine",
                                "q35,smm=on",
                                "-accel",
                                "tcg,thread=single",
                                "-cpu",
                                "Westmere,+smep,+smap,+umip",
                                "-m",
                                std::to_string(p.scenario.boot.ram_bytes >> 20),
                                "-smp",
                                std::to_string(p.scenario.boot.cpus),
                                "-bios",
                                (p.images / "mm-q35.rom").string(),
                                "-global",
                                fmt::format("mch.extended-tseg-mbytes={}", p.scenario.boot.tseg_bytes >> 20),
                                "-debugcon",
                                "file:" + (folder / "console").string(),
                                "-global",
                                "isa-debugcon.iobase=0x402",
                                "-device",
                                "isa-debug-exit,iobase=0xf4,iosize=4",
                                "-fw_cfg",
                                file("config"),
                                "-fw_cfg",
                                file("fv"),
                                "-fw_cfg",
                                file("steps"),
                                "-fw_cfg",
                                file("hobs"),
                                "-display",
                                "none",
                                "-no-reboot",
                                "-nodefaults",
                                "-monitor",
                                "none",
                                "-serial"};
  if (!p.os) {
    line.push_back("file:" + (folder / "serial").string());
    return line;
  }
  line.insert(line.end(), {"stdio", "-kernel", p.os->kernel.string(), "-append", p.os->command_line});
  if (!p.os->initrd.empty()) {
    line.insert(line.end(), {"-initrd", p.os->initrd.string()});
  }
  return line;
}

/// Without a log the process has the terminal.
std::expected<pid_t, std::string> start(std::vector<std::string> arguments, std::optional<fs::path> const& log) {
  std::vector<char*> raw;
  for (auto& a : arguments) {
    raw.push_back(a.data());
  }
  raw.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  if (log) {
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, log->c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
  }
  pid_t pid = 0;
  int const error = ::posix_spawnp(&pid, raw[0], &actions, nullptr, raw.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return std::unexpected(fmt::format("{}: {}", arguments[0], std::strerror(error)));
  }
  return pid;
}

/// Exit code, 128 + signal; kTimedOut after `limit` (the process is killed).
int wait_for(pid_t pid, std::chrono::seconds limit) {
  auto const end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    int status = 0;
    if (::waitpid(pid, &status, WNOHANG) == pid) {
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    if (std::chrono::steady_clock::now() > end) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, &status, 0);
      return kTimedOut;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
}

}  // namespace

MachineRun parse_console(std::span<std::byte const> console) {
  MachineRun run;
  std::size_t at = 0;
  while (at + sizeof(abi::FrameHeader) <= console.size()) {
    abi::FrameHeader head;
    std::memcpy(&head, console.data() + at, sizeof head);
    bool const known = head.magic == abi::kFrameMagic && head.kind >= 1 && head.kind <= 4;
    if (!known || head.length > console.size() - at - sizeof head) {
      ++at;
      continue;
    }
    auto const payload = console.subspan(at + sizeof head, head.length);
    at += sizeof head + head.length;
    switch (static_cast<abi::FrameKind>(head.kind)) {
      case abi::FrameKind::Trace:
        if (payload.size() == sizeof(hal::TraceEvent)) {
          std::memcpy(&run.trace.emplace_back(), payload.data(), payload.size());
        }
        break;
      case abi::FrameKind::StepResult:
        add_result_frame(run.results, payload, run.trace.size());
        break;
      case abi::FrameKind::Text:
        run.text.emplace_back(reinterpret_cast<char const*>(payload.data()), payload.size());
        break;
      case abi::FrameKind::End:
        run.boot_failed = load_int(payload, 0, 4) != 0;
        run.complete = !run.boot_failed;
        break;
    }
  }
  for (auto const& e : run.trace) {
    if (e.kind == hal::TraceKind::Halt) {
      run.halted = static_cast<hal::HaltReason>(e.a);
    }
  }
  return run;
}

std::optional<std::string> qemu_unavailable(fs::path const& images) {
  if (!fs::is_regular_file(images / "mm-q35.rom")) {
    return fmt::format("{} is missing: build the target 'images'", (images / "mm-q35.rom").string());
  }
  char const* const path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    auto const colon = rest.find(':');
    if (::access((fs::path{rest.substr(0, colon)} / "qemu-system-x86_64").c_str(), X_OK) == 0) {
      return std::nullopt;
    }
    rest = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
  }
  return "qemu-system-x86_64 is not installed";
}

std::expected<MachineRun, std::string> run_on_qemu(Prepared const& p) {
  if (auto why = qemu_unavailable(p.images)) {
    return std::unexpected(*why);
  }
  TemporaryFolder const folder;
  if (folder.path().empty()) {
    return std::unexpected(std::string{"no temporary folder could be made"});
  }
  Bytes config;
  append_object(config, p.scenario.boot);
  for (auto const& [name, bytes] : {std::pair<char const*, Bytes const*>{"config", &config},
                                    {"fv", &p.fv},
                                    {"steps", &p.program.bytes},
                                    {"hobs", &p.scenario.hobs}}) {
    if (auto done = write_file(folder.path() / name, *bytes); !done) {
      return std::unexpected(done.error());
    }
  }
  auto arguments = command_line(p, folder.path());
  arguments.insert(arguments.end(), p.qemu_options.begin(), p.qemu_options.end());
  auto const pid = start(std::move(arguments), p.os ? std::nullopt : std::optional{folder.path() / "log"});
  if (!pid) {
    return std::unexpected(pid.error());
  }
  int const code = wait_for(*pid, p.os ? kNoTimeout : p.qemu_limit);
  auto const console = read_file(folder.path() / "console");
  MachineRun run = parse_console(console ? *console : Bytes{});
  if (auto const serial = read_file(folder.path() / "serial")) {
    run.serial.assign(reinterpret_cast<char const*>(serial->data()), serial->size());
  }
  if (code == kTimedOut) {
    run.halted = hal::HaltReason::UserBudget;
    run.text.push_back(fmt::format("killed after {} seconds", p.qemu_limit.count()));
  } else if (p.os && code == 0) {
    run.complete = true;  // switched off by the operating system
  } else if (code != 1 && code != 3 && !run.boot_failed) {
    auto const log = read_file(folder.path() / "log");
    std::string const said = log ? std::string{reinterpret_cast<char const*>(log->data()), log->size()} : "";
    return std::unexpected(fmt::format("QEMU ended with exit code {} {}", code, said));
  }
  return run;
}

}  // namespace mm::scenario
