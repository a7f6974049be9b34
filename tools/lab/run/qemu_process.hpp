// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <sys/types.h>

#include <chrono>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/types.hpp"

/// The emulator as a process: start, exit code, and what its monitor says of the CPUs.
namespace mm::lab {

/// A file name as a value of QEMU's comma-separated options.
std::string qemu_value(std::filesystem::path const& path);

/// A running QEMU; killed and reaped when this goes.
class QemuProcess {
 public:
  /// With a log for its errors, standard input and output are the other end of monitor(); without one the process has
  /// the terminal. The error is a sentence.
  static std::expected<QemuProcess, std::string> start(std::vector<std::string> arguments,
                                                       std::optional<std::filesystem::path> const& log);
  ~QemuProcess();
  QemuProcess(QemuProcess&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), monitor_(std::exchange(other.monitor_, -1)), code_(other.code_) {}
  QemuProcess(QemuProcess const&) = delete;
  QemuProcess& operator=(QemuProcess const&) = delete;
  QemuProcess& operator=(QemuProcess&&) = delete;

  /// Exit code, or 128 + signal; nothing while it runs.
  std::optional<int> exit_code() noexcept;
  void kill() noexcept;
  /// File descriptor for `-monitor stdio`; -1: there is none.
  int monitor() const noexcept { return monitor_; }

 private:
  QemuProcess(pid_t pid, int monitor) noexcept : pid_(pid), monitor_(monitor) {}
  void reap() noexcept;

  pid_t pid_ = -1;
  int monitor_ = -1;
  std::optional<int> code_;
};

/// What the monitor says of one CPU.
struct CpuView {
  u32 index = 0;
  bool in_mm = false;
  bool halted = false;  ///< by HLT
  u32 cpl = 0;
  u64 rip = 0;
  friend bool operator==(CpuView const&, CpuView const&) = default;
};

/// The CPUs in the text of `info registers -a`; what is cut off or malformed is left out.
std::vector<CpuView> parse_cpus(std::string_view text);
/// "CPU 1 at 0x7e0a010, in MM, CPL 3".
std::string describe(CpuView const& cpu);

/// QEMU's monitor (HMP). Every call has a time limit: a machine that does not answer is no error.
class QemuMonitor {
 public:
  explicit QemuMonitor(int descriptor) noexcept : descriptor_(descriptor) {}

  /// Empty: no answer.
  std::vector<CpuView> cpus();

 private:
  std::optional<std::string> read_to_prompt() const;

  int descriptor_;
  bool greeted_ = false;
};

}  // namespace mm::lab
