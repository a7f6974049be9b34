// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/bench/user.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <expected>

#include "tools/lab/text/bytes.hpp"
#include "tools/lab/text/temporary_folder.hpp"
#include "tools/runner/bench/machine.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner::bench {
namespace {

namespace fs = std::filesystem;

constexpr u32 kFuzzRuns = 30'000;
constexpr u32 kLearningRuns = 60'000;  ///< before the runs on what was learnt
constexpr u32 kMessages = 20'000;
constexpr u32 kQemuMessages = 1'000;
constexpr u32 kScenarios = 60;

double child_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_CHILDREN, &used);
  auto const seconds = [](timeval const& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

/// Runs a command of the shell. Error: a sentence that names its log.
Result<void> shell(lab::TemporaryFolder& folder, std::string const& command) {
  auto const log = (folder.path() / "log").string();
  if (std::system(fmt::format("{} >'{}' 2>&1", command, log).c_str()) == 0) {
    return {};
  }
  folder.keep();
  return std::unexpected(fmt::format("a command failed: see {}", log));
}

/// The least time by the clock of a few runs of mmsim, in seconds.
Result<double> clocked(lab::TemporaryFolder& folder, std::string const& arguments, u32 times) {
  std::error_code error;
  auto const self = fs::read_symlink("/proc/self/exe", error);
  std::vector<double> seconds;
  for (u32 i = 0; i < times; ++i) {
    auto const start = std::chrono::steady_clock::now();
    MM_TRY(shell(folder, fmt::format("'{}' {}", self.string(), arguments)));
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return *std::ranges::min_element(seconds);
}

/// Messages of 64 letters to Hello, one a line.
std::string messages(u32 count) {
  std::string text;
  for (u32 i = 0; i < count; ++i) {
    text += R"({"to": "Hello", "data_hex": ")";
    for (u64 byte = 0; byte < kMessageBytes; ++byte) {
      text += "61";
    }
    text += "\"}\n";
  }
  return text;
}

Result<double> send_rate(fs::path const& images, u32 count, char const* target, u32 times) {
  lab::TemporaryFolder folder;
  auto const file = folder.path() / "messages.jsonl";
  std::string const text = messages(count);
  MM_TRY(lab::write_file(file, std::as_bytes(std::span{text})));
  MM_TRY_ASSIGN(double const seconds, clocked(folder,
                                              fmt::format("send --image '{}' --messages '{}' --target {}",
                                                          (images / "Hello.efi").string(), file.string(), target),
                                              times));
  return count / seconds;
}

Result<double> scenario_rate() {
  lab::TemporaryFolder folder;
  constexpr std::string_view kScenario =
      "schema = 1\nimages = [{ driver = \"Hello\" }]\n[[step]]\nkind = \"communicate\"\nto = \"Hello\"\n"
      "text = \"abc\"\nexpect = { status = \"Success\", text = \"ABC\" }\n";
  for (u32 i = 0; i < kScenarios; ++i) {
    MM_TRY(lab::write_file(folder.path() / fmt::format("s{}.toml", i), std::as_bytes(std::span{kScenario})));
  }
  MM_TRY_ASSIGN(double const seconds, clocked(folder, fmt::format("run -j 0 -q '{}'", folder.path().string()), 3));
  return kScenarios / seconds;
}

/// Always the same seed of the mutations.
Result<double> fuzz_rate(bool fast, bool learnt) {
  auto const program = fuzz_program_path("communicate", fast);
  if (::access(program.c_str(), X_OK) != 0) {
    return std::unexpected(fuzz_build_hint("communicate", fast));
  }
  lab::TemporaryFolder folder;
  if (folder.path().empty()) {
    return std::unexpected(std::string{"no temporary folder could be made"});
  }
  auto const corpus = folder.path() / "corpus";
  fs::create_directory(corpus);
  auto const seeds = (images_folder() / "../../../fuzz/corpus/communicate").lexically_normal();
  auto const command = [&](u32 runs, u32 seed) {
    return fmt::format("'{}' -runs={} -seed={} -artifact_prefix='{}/' '{}' '{}'", program.string(), runs, seed,
                       folder.path().string(), corpus.string(), seeds.string());
  };
  if (learnt) {
    MM_TRY(shell(folder, command(kLearningRuns, 1)));
  }
  double const before = child_seconds();
  MM_TRY(shell(folder, command(kFuzzRuns, learnt ? 2 : 1)));
  return kFuzzRuns / (child_seconds() - before);
}

/// Adds a row with the value, or a note why there is none.
void add(std::vector<Row>& rows, std::vector<std::string>& notes, Row row, Result<double> const& value) {
  if (!value) {
    notes.push_back(fmt::format("{}: not measured: {}", row.title, value.error()));
    return;
  }
  row.value = *value;
  rows.push_back(std::move(row));
}

}  // namespace

std::vector<Row> command_rows(fs::path const& images, std::vector<std::string>& notes) {
  std::vector<Row> rows;
  add(rows, notes,
      {"send_messages_per_second", fmt::format("mmsim send, {} messages of a file", kMessages), 0, "MMI/s", "", {}},
      send_rate(images, kMessages, "sim", 3));
  add(rows, notes,
      {"send_qemu_messages_per_second", fmt::format("the same on QEMU, {}", kQemuMessages), 0, "MMI/s", "", {}},
      send_rate(images, kQemuMessages, "qemu", 1));
  add(rows, notes,
      {"run_scenarios_per_second",
       fmt::format("mmsim run, {} scenarios with a message", kScenarios),
       0,
       "run/s",
       "",
       {}},
      scenario_rate());
  return rows;
}

std::vector<Row> fuzz_rows(std::vector<std::string>& notes) {
  struct Fuzzing {
    char const* id;
    char const* title;
    bool fast;
    bool learnt;
    double goal;  ///< 0: none
  };
  std::vector<Row> rows;
  for (auto const& f :
       {Fuzzing{"fuzz_communicate_per_second", "fuzz communicate, coverage, no sanitizers", true, false, 15'000},
        Fuzzing{"fuzz_communicate_learnt_per_second", "the same, with what it has learnt", true, true, 0},
        Fuzzing{"fuzz_communicate_sanitized_per_second", "fuzz communicate, coverage, ASan and UBSan", false, false,
                5'000}}) {
    auto const value = fuzz_rate(f.fast, f.learnt);
    Row row{f.id, f.title, 0, "exec/s", "", {}};
    if (value && f.goal != 0) {
      row.goal = fmt::format(">= {:.0f}", f.goal);
      row.met = *value >= f.goal;
    }
    add(rows, notes, std::move(row), value);
  }
  return rows;
}

}  // namespace mm::runner::bench
