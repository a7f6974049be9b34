// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/base/types.hpp"

namespace mm::runner {

/// What a fuzzer has done so far, from the lines it writes: a block that is redrawn on a terminal, else a line now and
/// then. Reports of sanitizers and broken invariants are shown as they come.
class FuzzStatus {
  using Clock = std::chrono::steady_clock;

 public:
  /// `seconds` = 0: no limit of time.
  FuzzStatus(std::string target, u32 seconds, std::filesystem::path corpus);

  /// One line of the fuzzer.
  void line(std::string_view text);
  void findings(std::size_t count);
  /// So many findings were printed, and the same fuzzer goes on.
  void told(std::size_t count);
  /// The last block or line; nothing is drawn over it any more.
  void end();
  u64 executions() const { return earlier_ + executions_; }
  /// Seconds since it began.
  double passed() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  /// One line for the end of the session.
  std::string summary(bool interrupted) const;
  /// The last line that was no statistics.
  std::string const& last_words() const { return last_words_; }

 private:
  void take(std::string_view text);
  void show(bool now);
  void draw_block();
  std::string time_left() const;

  std::string target_;
  u32 seconds_;
  std::filesystem::path corpus_;
  bool terminal_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point next_{};
  u64 executions_ = 0;
  u64 earlier_ = 0;  ///< executions of fuzzers before this one, after findings
  u64 coverage_ = 0, features_ = 0;
  std::string corpus_size_ = "0";
  std::size_t findings_ = 0;
  bool reporting_ = false;  ///< inside the report of a finding
  bool drawn_ = false;
  std::string last_words_;
};

}  // namespace mm::runner
