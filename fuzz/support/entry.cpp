// SPDX-License-Identifier: BSD-2-Clause-Patent
// The entry that libFuzzer and the replay call, and what `mmsim fuzz` wants to know while it waits.
#include <signal.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "fuzz/support/target.hpp"

namespace mm::fuzz {
namespace {

using Clock = std::chrono::steady_clock;

unsigned long long g_executions = 0;

std::string setting(char const* name) {
  char const* const value = std::getenv(name);
  return value == nullptr ? std::string{} : std::string{value};
}

std::string read_defect() {
  auto const name = setting("MM_FUZZ_DEFECT");
  if (!name.empty() && std::ranges::find(defects(), name) == defects().end()) {
    std::fprintf(stderr, "no such defect: %s; known are:", name.c_str());
    for (auto const known : defects()) {
      std::fprintf(stderr, " %.*s", static_cast<int>(known.size()), known.data());
    }
    std::fputc('\n', stderr);
    std::_Exit(2);
  }
  return name;
}

/// Says every second how many inputs have run, when MM_FUZZ_PROGRESS is set. libFuzzer itself is silent for minutes
/// when nothing is new.
class Progress {
 public:
  Progress() {
    if (wanted_) {  // it ends with the command that reads what it says
      ::prctl(PR_SET_PDEATHSIG, SIGINT);
    }
  }
  void count() {
    if (wanted_ && (g_executions & 63) == 0 && Clock::now() >= next_) {
      std::fprintf(stderr, "mm-progress: %llu\n", g_executions);
      next_ = Clock::now() + std::chrono::seconds{1};
    }
  }

 private:
  bool wanted_ = !setting("MM_FUZZ_PROGRESS").empty();
  Clock::time_point next_ = Clock::now();
};

}  // namespace

std::string_view planted_defect() {
  static std::string const name = read_defect();
  return name;
}

unsigned long long executions() { return g_executions; }

}  // namespace mm::fuzz

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  static mm::fuzz::Progress progress;
  static_cast<void>(mm::fuzz::planted_defect());
  ++mm::fuzz::g_executions;
  mm::fuzz::run(std::as_bytes(std::span{data, size}));
  progress.count();
  return 0;
}
