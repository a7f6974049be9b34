// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/fuzz/corpus_coverage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "tools/lab/coverage/collector.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;

/// What the fuzzers kept, what they began with, and what they found.
std::vector<fs::path> inputs_of(PreparedSession const& session) {
  std::vector<fs::path> files;
  for (auto const& folder : {session.places.corpus, session.places.seeds, session.places.findings}) {
    std::error_code error;
    for (auto const& entry : fs::directory_iterator{folder, error}) {
      bool const other = folder == session.places.findings && !entry.path().filename().string().starts_with("driver-");
      if (!other && entry.is_regular_file(error)) {
        files.push_back(entry.path());
      }
    }
  }
  std::ranges::sort(files);
  return files;
}

std::expected<void, std::string> add_input(PreparedSession const& s, fs::path const& file,
                                           lab::CoverageCollector& coverage) {
  MM_TRY_ASSIGN(auto const input, lab::read_file(file));
  auto const messages = lab::split_messages(input, s.session.most_messages, s.session.most_bytes);
  MM_TRY_ASSIGN(auto prepared, lab::prepare_case(s.places.findings, images_folder(), s.session, messages));
  prepared.coverage = true;
  MM_TRY_ASSIGN(auto const run, lab::simulator().run(prepared));
  coverage.add(prepared, run);
  return {};
}

}  // namespace

std::expected<std::string, std::string> write_corpus_coverage(PreparedSession const& session, u32 jobs,
                                                              fs::path const& folder) {
  auto const files = inputs_of(session);
  lab::CoverageCollector coverage;
  coverage.folder() = folder;
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::string error;
  auto const work = [&] {
    for (std::size_t i = 0; (i = next++) < files.size();) {
      if (auto const added = add_input(session, files[i], coverage); !added) {
        std::scoped_lock const lock{mutex};
        error = added.error();
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (u32 job = 1; job < jobs; ++job) {
      threads.emplace_back(work);
    }
    work();
  }
  if (!error.empty()) {
    return std::unexpected(error);
  }
  MM_TRY_ASSIGN(auto const text, *coverage.write());
  return fmt::format("{} inputs: {}", files.size(), text);
}

}  // namespace mm::runner
