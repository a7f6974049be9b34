// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mm::runner {

/// While it lives, SIGINT and SIGTERM go on to the fuzzers, which end after the input that they are running. One a
/// process.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(Interrupts const&) = delete;
  Interrupts& operator=(Interrupts const&) = delete;
};
/// Whether one came.
bool interrupted();
/// Asks every fuzzer that runs to end after its input, as Ctrl-C does.
void end_fuzzers();

/// Runs a program to its end, calls `line` with each line that it writes, and gives its exit code, 128 + signal when it
/// was killed. `settings` are NAME=value for its environment. At most 64 at once, each from a thread of its own. Error:
/// a sentence; it does not start.
std::expected<int, std::string> run_fuzzer(std::vector<std::string> arguments, std::vector<std::string> settings,
                                           std::function<void(std::string_view)> const& line);

}  // namespace mm::runner
