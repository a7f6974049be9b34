// SPDX-License-Identifier: BSD-2-Clause-Patent
// `mmsim fuzz driver`: runs the fuzzer on a machine, and makes results of what it finds.
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "tools/lab/text/json_text.hpp"
#include "tools/lab/text/program_name.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/fuzz/corpus_coverage.hpp"
#include "tools/runner/fuzz/driver_findings.hpp"
#include "tools/runner/fuzz/driver_session.hpp"
#include "tools/runner/fuzz/process.hpp"
#include "tools/runner/fuzz/reports.hpp"
#include "tools/runner/fuzz/status.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kFoundCode = 77;  ///< fuzz/driver.cpp
constexpr std::size_t kHeadBytes = 4;

/// Several fuzzers on one machine, which share a corpus.
class Fuzzers {
 public:
  Fuzzers(fs::path program, FuzzOptions const& o, DriverFuzzOptions const& d, PreparedSession const& s)
      : program_(std::move(program)),
        options_(o),
        driver_(d),
        session_(s),
        status_("driver " + s.name, o.seconds, s.places.corpus),
        log_(s.places.log) {}

  void run() {
    std::vector<std::jthread> threads;
    for (u32 job = 1; job < options_.jobs; ++job) {
      threads.emplace_back([this, job] { run_one(job); });
    }
    run_one(0);
    threads.clear();
    status_.end();
    keep_crashes();
    log_.close();
    std::error_code ignored;
    fs::rename(session_.places.log, log_file(), ignored);
  }

  std::vector<ToldFinding> const& findings() const { return findings_; }
  std::vector<fs::path> const& crashes() const { return crashes_; }
  std::string const& error() const { return error_; }
  std::string summary() const { return status_.summary(interrupted()); }
  u64 executions() const { return status_.executions(); }
  /// Seconds until the first finding; 0: there is none.
  double found_after() const { return found_after_; }

 private:
  std::vector<std::string> arguments(u32 job) const {
    std::vector<std::string> a{program_.string(),
                               "-print_final_stats=1",
                               "-rss_limit_mb=4096",
                               "-reload=1",
                               "-artifact_prefix=" + session_.places.fresh.string() + "/",
                               fmt::format("-max_len={}", driver_.max_messages * (driver_.max_len + kHeadBytes))};
    if (options_.seconds != 0) {
      a.push_back(fmt::format("-max_total_time={}", options_.seconds));
    }
    if (options_.runs != 0) {
      a.push_back(fmt::format("-runs={}", options_.runs));
    }
    if (options_.seed != 0) {
      a.push_back(fmt::format("-seed={}", options_.seed + job));
    }
    a.push_back("-dict=" + session_.places.dictionary.string());
    a.push_back(session_.places.corpus.string());
    a.push_back(session_.places.seeds.string());
    return a;
  }
  std::vector<std::string> settings() const {
    std::vector<std::string> out{
        "MM_FUZZ_PROGRESS=1", "MM_FUZZ_DEFECT=" + options_.defect, "MM_FUZZ_CASE=" + session_.places.findings.string(),
        "MM_FUZZ_FOUND=" + session_.places.fresh.string(), "MM_IMAGES=" + images_folder().string()};
    out.push_back(options_.keep_going ? "MM_FUZZ_KEEP_GOING=1" : "MM_FUZZ_KEEP_GOING=");
    return out;
  }

  void run_one(u32 job) {
    auto const ended = run_fuzzer(arguments(job), settings(), [this, job](std::string_view line) { take(job, line); });
    std::lock_guard const lock{mutex_};
    bool const good = ended && (*ended == 0 || *ended == kFoundCode || *ended == kInterruptedCode || done_);
    if (!good && error_.empty()) {
      error_ = ended ? fmt::format("{} ended with exit code {}: {}; its words are in {}", program_.string(), *ended,
                                   status_.last_words(), log_file().string())
                     : ended.error();
    }
    if (!good || (ended && *ended == kFoundCode)) {
      done_ = true;
      end_fuzzers();
    }
  }

  void take(u32 job, std::string_view line) {
    std::lock_guard const lock{mutex_};
    log_ << (options_.jobs > 1 ? fmt::format("{}: ", job) : "") << line << '\n';
    if (auto const said = parse_finding(line)) {
      found(*said);
      return;
    }
    status_.line(sum(job, line));
  }
  /// Numbers of executions as those of all fuzzers.
  std::string sum(u32 job, std::string_view line) {
    for (std::string_view const word : {"mm-progress: ", "stat::number_of_executed_units: "}) {
      if (line.starts_with(word)) {
        executions_[job] = std::max<u64>(executions_[job], std::strtoull(line.data() + word.size(), nullptr, 10));
        u64 all = 0;
        for (auto const& [one, count] : executions_) {
          all += count;
        }
        return fmt::format("{}{}", word, all);
      }
    }
    return std::string{line};
  }

  /// Replays a finding that is new, and prints it.
  void found(FuzzerSaid const& said) {
    if (!keys_.insert(said.key).second || (!options_.keep_going && !findings_.empty())) {
      return;
    }
    found_after_ = findings_.empty() ? status_.passed() : found_after_;
    auto told = tell_finding(session_.places.findings, said, driver_.no_qemu);
    if (!told) {
      error_ = fmt::format("found {}, and it is not kept: {}", said.key, told.error());
      return;
    }
    std::error_code gone;
    fs::remove(said.input, gone);  // tell_finding() has put it among the findings
    if (!driver_.json) {
      std::cout << finding_text(*told, findings_.size() + 1) << std::flush;
    }
    findings_.push_back(std::move(*told));
    status_.told(findings_.size());
  }

  fs::path log_file() const { return session_.places.findings / "log.txt"; }

  /// What libFuzzer itself reports: a rule of the supervisor that does not hold, or a sanitizer. Inputs that are merely
  /// slow stay behind.
  void keep_crashes() {
    for (auto const& entry : fs::directory_iterator{session_.places.fresh}) {
      auto const name = entry.path().filename().string();
      if (!name.starts_with("crash-") && !name.starts_with("oom-") && !name.starts_with("timeout-")) {
        continue;
      }
      auto const path = session_.places.findings / ("driver-" + name);
      std::error_code error;
      fs::rename(entry.path(), path, error);
      crashes_.push_back(path);
    }
    error_ = crashes_.empty() ? error_ : "";
  }

  fs::path program_;
  FuzzOptions const& options_;
  DriverFuzzOptions const& driver_;
  PreparedSession const& session_;
  FuzzStatus status_;
  std::ofstream log_;
  std::mutex mutex_;
  std::map<u32, u64> executions_;  ///< by job
  std::set<std::string> keys_;
  std::vector<ToldFinding> findings_;
  std::vector<fs::path> crashes_;
  std::string error_;
  bool done_ = false;
  double found_after_ = 0;
};

void print(Fuzzers const& fuzzers, PreparedSession const& s, bool as_json) {
  if (as_json) {
    json out{{"schema", 1},
             {"machine", s.name},
             {"findings", json::array()},
             {"crashes", json::array()},
             {"executions", fuzzers.executions()},
             {"found_after", fuzzers.findings().empty() ? json(nullptr) : json(fuzzers.found_after())},
             {"summary", fuzzers.summary()}};
    for (auto const& told : fuzzers.findings()) {
      out["findings"].push_back(finding_json(told));
    }
    for (auto const& path : fuzzers.crashes()) {
      out["crashes"].push_back(path.string());
    }
    std::cout << lab::json_text(out);
    return;
  }
  for (auto const& path : fuzzers.crashes()) {
    std::cout << fmt::format("found {}: not the driver but what runs it; the report is in {}\n  {} repro {}\n",
                             path.string(), (s.places.findings / "log.txt").string(), lab::program_name(),
                             path.string());
  }
  std::cout << fuzzers.summary() << '\n';
}

/// The reports that were asked for. False: one cannot be written.
bool write_reports(Fuzzers const& fuzzers, PreparedSession const& s, DriverFuzzOptions const& driver, u32 jobs) {
  DriverReport const report{s.name, fuzzers.summary(), fuzzers.findings(), fuzzers.crashes()};
  bool good = true;
  if (!driver.coverage.empty()) {
    auto const written = write_corpus_coverage(s, jobs, driver.coverage);
    (written && !driver.json ? std::cout : std::cerr) << (written ? *written : "mmsim: " + written.error()) << '\n';
    good = written.has_value();
  }
  for (auto const& done :
       {write_report(driver.sarif, driver_sarif(report)), write_report(driver.junit, driver_junit(report))}) {
    if (!done) {
      std::cerr << "mmsim: " << done.error() << '\n';
      good = false;
    }
  }
  return good;
}

int run_session(fs::path const& program, PreparedSession const& session, FuzzOptions const& options,
                DriverFuzzOptions const& driver) {
  Fuzzers fuzzers{program, options, driver, session};
  fuzzers.run();
  if (!fuzzers.error().empty()) {
    std::cerr << "mmsim: " << fuzzers.error() << '\n';
    return kEnvironment;
  }
  print(fuzzers, session, driver.json);
  if (!write_reports(fuzzers, session, driver, options.jobs)) {
    return kBadInput;
  }
  return fuzzers.findings().empty() && fuzzers.crashes().empty() ? kPassed : kFailed;
}

}  // namespace

int fuzz_driver_command(FuzzOptions const& options, DriverFuzzOptions const& driver) {
  auto const program = fuzz_program_path("driver", options.fast);
  if (::access(program.c_str(), X_OK) != 0) {
    std::cerr << "mmsim: " << fuzz_build_hint("driver", options.fast) << '\n';
    return kEnvironment;
  }
  auto const session = prepare_session(options, driver);
  if (!session) {
    std::cerr << "mmsim: " << session.error() << '\n';
    return kBadInput;
  }
  for (auto const& note : session->notes) {
    std::cerr << "note: " << note << '\n';
  }
  std::cerr << fmt::format("{} handler{} of {}:\n", session->session.handlers.size(),
                           session->session.handlers.size() == 1 ? "" : "s", session->name);
  for (auto const& guid : session->session.handlers) {
    std::cerr << "  " << lab::named_guid(guid) << '\n';
  }
  Interrupts const interrupts;
  int const code = run_session(program, *session, options, driver);
  if (code != kEnvironment) {  // else the next session takes what is in it
    std::error_code ignored;
    fs::remove_all(session->places.work, ignored);
  }
  return code;
}

}  // namespace mm::runner
