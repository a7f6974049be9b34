// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/suite.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "tools/lab/run/interruption.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;

/// What the threads share. Each takes the next file and leaves its outcome in the file's place.
struct Board {
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t next = 0;  ///< file that nobody has taken
  bool stop = false;     ///< none is taken any more
  std::vector<std::optional<Outcome>> outcomes;
};

bool is_failure(Outcome const& outcome) { return outcome.code != kPassed && outcome.code != kSkipped; }

void work(Board& board, std::vector<fs::path> const& files, bool fail_fast,
          std::function<Outcome(fs::path const&)> const& run) {
  std::unique_lock lock(board.mutex);
  while (!board.stop && board.next < files.size()) {
    std::size_t const mine = board.next++;
    lock.unlock();
    Outcome outcome = run(files[mine]);
    lock.lock();
    if (lab::Interruption::signal() != 0) {
      board.stop = true;  // and what came of this one says nothing: its emulator was killed
      board.next = std::min(board.next, mine);
    } else {
      board.stop = board.stop || (fail_fast && is_failure(outcome));
      board.outcomes[mine] = std::move(outcome);
    }
    board.changed.notify_one();
  }
}

u32 threads_for(u32 jobs, std::size_t files) {
  u32 const wanted = jobs == 0 ? std::max(1u, std::thread::hardware_concurrency()) : jobs;
  return static_cast<u32>(std::min<std::size_t>(wanted, files));
}

}  // namespace

std::vector<Outcome> run_suite(std::vector<fs::path> const& files, SuiteOptions const& options,
                               std::function<Outcome(fs::path const&)> const& run,
                               std::function<void(Outcome const&)> const& told) {
  Board board;
  board.outcomes.resize(files.size());
  Progress progress{files.size(), options.progress};
  lab::Interruption const interruption{lab::WithoutChildren::GoOn};
  std::vector<std::jthread> threads;
  for (u32 i = 0; i < threads_for(options.jobs, files.size()); ++i) {
    threads.emplace_back([&] { work(board, files, options.fail_fast, run); });
  }
  std::vector<Outcome> done;
  std::unique_lock lock(board.mutex);
  for (std::size_t at = 0; at < files.size(); ++at) {
    auto const is_there = [&] { return board.outcomes[at].has_value() || (board.stop && at >= board.next); };
    while (!is_there()) {
      progress.show(done.size(), files[at].filename().string());
      board.changed.wait(lock);
    }
    if (!board.outcomes[at]) {
      break;  // it was not started
    }
    done.push_back(std::move(*board.outcomes[at]));
    progress.clear();
    lock.unlock();
    told(done.back());
    lock.lock();
  }
  return done;
}

std::vector<fs::path> chosen_files(std::vector<fs::path> files, std::string const& pattern) {
  std::erase_if(files, [&](fs::path const& file) { return file.string().find(pattern) == std::string::npos; });
  return files;
}

}  // namespace mm::runner
