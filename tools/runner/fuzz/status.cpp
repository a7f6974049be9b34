// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/fuzz/status.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iostream>

#include "tools/lab/text/terminal.hpp"

namespace mm::runner {
namespace {

constexpr std::string_view kProgress = "mm-progress: ";  // fuzz/support/entry.cpp
constexpr int kBlockLines = 5;

/// The word after `key` in a status line of libFuzzer, "" when there is none.
std::string_view after(std::string_view line, std::string_view key) {
  auto const at = line.find(key);
  auto const from = at == std::string_view::npos ? at : line.find_first_not_of(' ', at + key.size());
  return from == std::string_view::npos ? std::string_view{}
                                        : line.substr(from, line.find_first_of(" \t\n", from) - from);
}

u64 number(std::string_view text) {
  u64 value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

bool starts_report(std::string_view line) {
  return line.find("ERROR: ") != std::string_view::npos || line.find("invariant broken") != std::string_view::npos ||
         line.find("runtime error: ") != std::string_view::npos;
}

}  // namespace

FuzzStatus::FuzzStatus(std::string target, u32 seconds, std::filesystem::path corpus)
    : target_(std::move(target)),
      seconds_(seconds),
      corpus_(std::move(corpus)),
      terminal_(lab::is_terminal(STDERR_FILENO)) {}

void FuzzStatus::line(std::string_view text) {
  if (text.starts_with(kProgress)) {
    executions_ = std::max(executions_, number(text.substr(kProgress.size())));
    show(false);
    return;
  }
  if (text.starts_with('#') && text.find("cov:") != std::string_view::npos) {
    take(text);
    show(text.find("INITED") != std::string_view::npos);
    return;
  }
  reporting_ = reporting_ || starts_report(text);
  if (text.starts_with("stat::number_of_executed_units:")) {
    executions_ = number(after(text, "units:"));
    reporting_ = false;
  }
  if (reporting_) {
    drawn_ = false;  // the block starts anew below the report
    std::cerr << text << '\n';
  }
  if (!text.empty() && !text.starts_with("stat::") && !text.starts_with("INFO")) {
    last_words_ = text;
  }
}

/// `#2048 pulse cov: 176 ft: 601 corp: 11/362b lim: 82 exec/s: 1024 rss: 106Mb`
void FuzzStatus::take(std::string_view text) {
  executions_ = std::max(executions_, number(text.substr(1)));
  coverage_ = std::max(coverage_, number(after(text, "cov:")));
  features_ = std::max(features_, number(after(text, "ft:")));
  corpus_size_ = after(text, "corp:");
}

void FuzzStatus::findings(std::size_t count) {
  findings_ = count;
  earlier_ += executions_;
  executions_ = 0;
  reporting_ = false;
}

void FuzzStatus::told(std::size_t count) {
  findings_ = count;
  drawn_ = false;
}

std::string FuzzStatus::time_left() const {
  if (seconds_ == 0) {
    return "no limit";
  }
  auto const left = static_cast<u64>(std::max(0.0, seconds_ - passed()));
  return fmt::format("{}:{:02}:{:02} left", left / 3600, left / 60 % 60, left % 60);
}

void FuzzStatus::show(bool now) {
  auto const time = Clock::now();
  if (!now && time < next_) {
    return;
  }
  next_ = time + (terminal_ ? std::chrono::milliseconds{200} : std::chrono::seconds{10});
  if (terminal_) {
    draw_block();
    return;
  }
  std::cerr << fmt::format("{}: {} executions, {:.0f}/s, coverage {}, features {}, corpus {}, findings {}, {}\n",
                           target_, executions(), static_cast<double>(executions()) / std::max(passed(), 0.001),
                           coverage_, features_, corpus_size_, findings_, time_left());
}

void FuzzStatus::draw_block() {
  std::string out;
  if (drawn_) {
    out += fmt::format("\x1b[{}A", kBlockLines);
  }
  // A row that is wrapped would take two lines, and the next block begin in the middle of this one.
  std::size_t const columns = lab::terminal_columns(STDERR_FILENO) - 1;
  auto const row = [&out, columns](std::string_view name, std::string const& value) {
    out += fmt::format("\r\x1b[K{}\n", lab::shortened(fmt::format("{:<12}{}", name, value), columns));
  };
  row(lab::shortened(target_, 24) + (target_.size() < 12 ? "" : "  "), time_left());
  row("executions",
      fmt::format("{} ({:.0f} a second)", executions(), static_cast<double>(executions()) / std::max(passed(), 0.001)));
  row("coverage", fmt::format("{} edges, {} features", coverage_, features_));
  row("corpus", fmt::format("{} in {}", corpus_size_, corpus_.string()));
  row("findings", std::to_string(findings_));
  std::cerr << out << std::flush;
  drawn_ = true;
}

void FuzzStatus::end() {
  if (terminal_ && drawn_) {
    draw_block();
  }
}

std::string FuzzStatus::summary(bool interrupted) const {
  return fmt::format("{}{}: {} executions in {:.0f} s, coverage {}, features {}, corpus {} in {}, findings {}",
                     interrupted ? "interrupted; " : "", target_, executions(), passed(), coverage_, features_,
                     corpus_size_, corpus_.string(), findings_);
}

}  // namespace mm::runner
