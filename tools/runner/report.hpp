// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/lab/tell/compare.hpp"
#include "tools/lab/tell/story.hpp"
#include "tools/runner/commands.hpp"

/// What `mmsim run` found, and how it is told: to a person, as JSON, as JUnit.
namespace mm::runner {

struct ToldStep {
  lab::StepStory story;
  std::vector<std::string> events;
  u64 status = 0, value = 0;
  lab::Bytes data;
};

struct Failure {
  lab::Problem problem;
  std::string target;
  std::string advice;
};

/// What the drivers of a run did beside answering.
struct DriversTold {
  std::vector<std::string> dispatch;  ///< order, and who waits for what
  std::string serial;                 ///< what they wrote to the serial port
  std::vector<std::string> devices;   ///< what they asked of the scenario's devices, a line each
};

/// One scenario on one target.
struct Outcome {
  std::string scenario;
  std::string name;
  std::string target;
  std::string outcome = "passed";  ///< passed, failed, error, skipped
  int code = kPassed;
  double milliseconds = 0;
  std::vector<std::string> messages;
  std::string ended;               ///< halt reason or RunEnd of the last run; empty: the end of the steps
  std::size_t repeated = 0;        ///< runs on QEMU that were repeated because the host may have been late
  std::vector<std::string> notes;  ///< about them, and about what was not kept
  std::vector<std::string> steps;
  std::vector<std::string> events;  ///< the whole transcript
  DriversTold drivers;
  // What follows is of the run that failed, else of the last.
  std::vector<std::string> boot_events;
  std::vector<ToldStep> story;
  std::vector<Failure> failures;
  lab::Comparison comparison;  ///< target `both`
};

enum class Detail : u8 { Line, Story, Events };

/// Progress on standard error while scenarios run, when that is a terminal; gone before anything else is printed.
class Progress {
 public:
  Progress(std::size_t total, bool wanted);
  ~Progress() { clear(); }
  Progress(Progress const&) = delete;
  Progress& operator=(Progress const&) = delete;
  void show(std::size_t done, std::string const& now);
  void clear();

 private:
  std::size_t total_;
  bool on_;
};

/// On standard output. A failure is always told as a story.
void print(Outcome const& outcome, Detail detail);
/// How many of each outcome, and those that failed once more. `not_run`: files that were not started.
void print_summary(std::vector<Outcome> const& outcomes, std::size_t not_run = 0);
nlohmann::json to_json(Outcome const& outcome);
/// `text` for an XML document: UTF-8 without control characters.
std::string xml_text(std::string const& text);
std::string junit(std::vector<Outcome> const& outcomes);
/// Every event of every scenario, below a line that names it.
std::string transcripts(std::vector<Outcome> const& outcomes);

}  // namespace mm::runner
