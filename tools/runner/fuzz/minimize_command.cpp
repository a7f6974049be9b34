// SPDX-License-Identifier: BSD-2-Clause-Patent
// `mmsim minimize`: a scenario, or an input of a fuzzer, made smaller while it shows the same.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <memory>

#include "tools/lab/fuzzing/driver_case.hpp"
#include "tools/lab/fuzzing/finding_file.hpp"
#include "tools/lab/fuzzing/minimise.hpp"
#include "tools/lab/fuzzing/smaller_scenario.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/interruption.hpp"
#include "tools/lab/text/program_name.hpp"
#include "tools/lab/text/terminal.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/fuzz/inputs.hpp"
#include "tools/runner/fuzz/process.hpp"
#include "tools/runner/symbol_options.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct MinimizeOptions {
  fs::path file;
  std::string kind;  ///< as for `mmsim repro`
  u64 runs = 2000;
  u32 seconds = 120;
  bool no_qemu = false;
};

/// What of the budget is left, and a line about it on a terminal.
class Budget {
 public:
  explicit Budget(MinimizeOptions const& o) : options_(o), terminal_(lab::is_terminal(STDERR_FILENO)) {}
  ~Budget() { clear(); }
  Budget(Budget const&) = delete;
  Budget& operator=(Budget const&) = delete;

  /// Counts a run. `size`: of the best so far.
  void count(std::string const& size) {
    ++runs_;
    if (terminal_ && Clock::now() >= next_) {
      std::cerr << fmt::format("\r\x1b[Kminimize: {} of at most {} runs, {}", runs_, options_.runs, size) << std::flush;
      next_ = Clock::now() + std::chrono::milliseconds{100};
    }
  }
  bool over() const {
    return runs_ >= options_.runs || lab::Interruption::signal() != 0 ||
           Clock::now() - start_ >= std::chrono::seconds{options_.seconds};
  }
  u64 runs() const { return runs_; }
  /// Why it was not taken to its end; empty: it was.
  std::string stopped() const {
    return lab::Interruption::signal() != 0 ? ", interrupted" : over() ? ", where the budget ended" : "";
  }
  void clear() const {
    if (terminal_) {
      std::cerr << "\r\x1b[K" << std::flush;
    }
  }

 private:
  MinimizeOptions const& options_;
  bool terminal_;
  u64 runs_ = 0;
  Clock::time_point start_ = Clock::now();
  Clock::time_point next_{};
};

std::string plural(std::size_t count, std::string_view word) {
  return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}
std::string size_text(lab::ScenarioSize const& size) {
  return fmt::format("{}, {}, {}", plural(size.steps, "step"), plural(size.bytes, "byte"),
                     plural(size.images, "image"));
}

std::string shown_text(lab::Shown const& shown) {
  if (shown.problem.empty()) {
    return shown.place + ", and the scenario passes";
  }
  return shown.place.empty() ? shown.problem : fmt::format("{} at {}", shown.problem, shown.place);
}

std::expected<lab::Prepared, std::string> prepared_text(std::string const& text, fs::path const& file) {
  MM_TRY_ASSIGN(auto scenario, lab::parse_scenario(text, file, images_folder()));
  MM_TRY_ASSIGN(auto prepared, lab::prepare(std::move(scenario), images_folder()));
  return prepared.refused ? std::expected<lab::Prepared, std::string>{std::unexpect, *prepared.refused}
                          : std::move(prepared);
}

/// What the text shows on a machine; nothing: nothing, or it does not run there.
std::optional<lab::Shown> shown_on(lab::Backend const& machine, std::string const& text, fs::path const& file) {
  auto const prepared = prepared_text(text, file);
  if (!prepared) {
    return std::nullopt;
  }
  auto const run = machine.run(*prepared);
  return run ? lab::shown_by(*prepared, *run) : std::nullopt;
}

/// Whether QEMU agrees, as the end of a sentence.
std::string on_qemu(MinimizeOptions const& o, std::string const& text, lab::Shown const& shown) {
  auto const prepared = prepared_text(text, o.file);
  if (o.no_qemu || !prepared) {
    return "not asked for";
  }
  if (!lab::is_for(prepared->scenario, lab::Target::Qemu)) {
    return "not run: the scenario is for the simulator";
  }
  if (auto const why = lab::qemu().unavailable(images_folder())) {
    return "not here: " + *why;
  }
  auto const there = shown_on(lab::qemu(), text, o.file);
  return !there ? "does not show it" : *there == shown ? "shows it" : "shows another: " + shown_text(*there);
}

/// "NAME.min.toml" beside NAME.toml, where its relative paths mean the same.
fs::path smaller_name(fs::path const& file) {
  auto const stem = file.extension() == ".toml" ? file.stem() : file.filename();
  return file.parent_path() / (stem.string() + ".min.toml");
}

int minimize_scenario(MinimizeOptions const& o) {
  auto const bytes = lab::read_file(o.file);
  if (!bytes) {
    return complain(bytes.error(), kBadInput);
  }
  std::string const text{reinterpret_cast<char const*>(bytes->data()), bytes->size()};
  auto const prepared = prepared_text(text, o.file);
  if (!prepared) {
    return complain(prepared.error(), kBadInput);
  }
  if (!lab::is_for(prepared->scenario, lab::Target::Sim)) {
    return complain(o.file.string() + ": runs on QEMU alone, and each try is a run of the simulator", kBadInput);
  }
  auto const first = lab::simulator().run(*prepared);
  if (!first) {
    return complain(first.error(), kEnvironment);
  }
  auto const shown = lab::shown_by(*prepared, *first);
  if (!shown) {
    return complain(o.file.string() + ": passes, and no driver does what it must not: there is nothing to keep",
                    kBadInput);
  }
  std::cout << fmt::format("kept: {}\n", shown_text(*shown)) << std::flush;
  Budget budget{o};
  std::optional<lab::ScenarioSize> before;
  auto const smaller = lab::make_smaller(
      text, o.file,
      [&](std::string const& candidate) { return shown_on(lab::simulator(), candidate, o.file) == shown; },
      [&](lab::SmallerScenario const& best) {
        before = before ? before : best.size;
        while (budget.runs() < best.tries) {
          budget.count(size_text(best.size));
        }
        return budget.over();
      });
  budget.clear();
  if (!smaller) {
    return complain(smaller.error(), kBadInput);
  }
  auto const file = smaller_name(o.file);
  auto const out = fmt::format("# {}, made smaller by `mmsim minimize`. What it shows:\n# {}\n{}",
                               o.file.filename().string(), shown_text(*shown), smaller->toml);
  if (auto const written = lab::write_file(file, std::as_bytes(std::span{out})); !written) {
    return complain(written.error(), kBadInput);
  }
  std::cout << fmt::format("{} became {}, in {}{}\nreplayed: the simulator shows it; QEMU {}\n{} run {}\n",
                           size_text(before.value_or(smaller->size)), size_text(smaller->size),
                           plural(smaller->tries, "run"), budget.stopped(), on_qemu(o, smaller->toml, *shown),
                           lab::program_name(), file.string());
  return kPassed;
}

/// The messages of an input of `fuzz driver`, which has its machine beside it.
int minimize_messages(MinimizeOptions const& o, fs::path const& folder) {
  auto const session = lab::read_session(folder);
  auto const input = lab::read_file(o.file);
  if (!session || !input) {
    return complain(session ? input.error() : session.error(), kBadInput);
  }
  auto const messages = lab::split_messages(*input, session->most_messages, session->most_bytes);
  auto const finding = [&](std::span<lab::DriverMessage const> some,
                           lab::Backend const& machine) -> std::optional<lab::RunFinding> {
    auto const prepared = lab::prepare_case(folder, images_folder(), *session, some);
    auto const run = prepared ? machine.run(*prepared) : std::unexpected(prepared.error());
    return run ? lab::finding_of(*prepared, *run, some.size(), session->allowed) : std::nullopt;
  };
  auto const shown = finding(messages, lab::simulator());
  if (!shown) {
    return complain(o.file.string() + ": the drivers do nothing that they must not: there is nothing to keep",
                    kBadInput);
  }
  auto const key = shown->finding.key();
  std::cout << fmt::format("kept: {}\n", key) << std::flush;
  Budget budget{o};
  std::size_t least = input->size();
  auto const small = lab::minimise(messages, o.runs, [&](std::span<lab::DriverMessage const> candidate) {
    if (budget.over()) {
      return false;
    }
    budget.count(plural(least, "byte"));
    auto const there = finding(candidate, lab::simulator());
    bool const same = there && there->finding.key() == key;
    least = same ? lab::join_messages(candidate).size() : least;
    return same;
  });
  budget.clear();
  auto const found = finding(small.messages, lab::simulator());
  auto const prepared = lab::prepare_case(folder, images_folder(), *session, small.messages);
  auto const machine = lab::read_file(folder / lab::kCaseFile);
  auto const toml = found && prepared && machine
                        ? lab::finding_toml({reinterpret_cast<char const*>(machine->data()), machine->size()},
                                            *prepared, *session, found->finding, small.messages)
                        : std::nullopt;
  auto const file = toml ? smaller_name(o.file) : fs::path{o.file.string() + ".min"};
  auto const bytes = lab::join_messages(small.messages);
  auto const written = toml ? lab::write_file(file, std::as_bytes(std::span{*toml})) : lab::write_file(file, bytes);
  if (!written) {
    return complain(written.error(), kBadInput);
  }
  auto const there =
      o.no_qemu || shown->finding.oracle == lab::Oracle::Budget ? std::nullopt : finding(small.messages, lab::qemu());
  std::cout << fmt::format("{} and {} became {} and {}, in {}{}\nreplayed: the simulator shows it; QEMU {}\n{} {} {}\n",
                           plural(messages.size(), "message"), plural(input->size(), "byte"), small.messages.size(),
                           bytes.size(), plural(budget.runs(), "run"), budget.stopped(),
                           there && there->finding.key() == key ? "shows it"
                           : o.no_qemu                          ? "not asked for"
                                                                : "does not show it",
                           lab::program_name(), toml ? "run" : "repro", file.string());
  return kPassed;
}

/// An input of another fuzzer: libFuzzer makes it smaller, and knows no more of it than that the program ends.
int minimize_input(MinimizeOptions const& o, std::string const& kind) {
  auto const program = fuzz_program_of(kind);
  if (!program) {
    return complain(program.error(), kEnvironment);
  }
  auto const file = o.file.string() + ".min";
  auto const crash = run_fuzzer({program->string(), o.file.string()}, {}, [](std::string_view) {});
  if (!crash || *crash == 0) {
    return complain(
        crash ? o.file.string() + ": everything that must hold does: there is nothing to keep" : crash.error(),
        crash ? kBadInput : kEnvironment);
  }
  Budget budget{o};
  auto const ended =
      run_fuzzer({program->string(), "-minimize_crash=1", fmt::format("-runs={}", o.runs),
                  fmt::format("-max_total_time={}", o.seconds), "-exact_artifact_path=" + file, o.file.string()},
                 {}, [&](std::string_view) { budget.count("the words of libFuzzer"); });
  budget.clear();
  std::error_code error;
  if (!ended || !fs::is_regular_file(file)) {
    return complain(o.file.string() + ": nothing smaller does the same", kPassed);
  }
  std::cout << fmt::format("{} became {}\n{} repro {} --kind {}\n", plural(fs::file_size(o.file, error), "byte"),
                           fs::file_size(file, error), lab::program_name(), file, kind);
  return kPassed;
}

int minimize_command(MinimizeOptions const& o) {
  lab::Interruption const interruption{lab::WithoutChildren::GoOn};
  if (o.file.extension() == ".toml" && o.kind.empty()) {
    return minimize_scenario(o);
  }
  auto const kind = fuzz_kind_of(o.file, o.kind);
  if (kind.empty()) {
    return complain(o.file.string() + ": a scenario is a .toml; of an input say with --kind which fuzzer it is for",
                    kBadInput);
  }
  auto const folder = fuzz_case_of(o.file, kind);
  return folder.empty() ? minimize_input(o, kind) : minimize_messages(o, folder);
}

}  // namespace

Command add_minimize_command(Arguments program) {
  auto const o = std::make_shared<MinimizeOptions>();
  auto minimize = program.command("minimize", "Make a scenario or a finding smaller while it shows the same");
  minimize.option("FILE", o->file, "A scenario, or an input of a fuzzer").required().existing_file();
  minimize.option("--kind", o->kind, "The fuzzer that the input is for; default: from the names of file and folder")
      .one_of(std::vector<std::string>{kFuzzTargets.begin(), kFuzzTargets.end()});
  minimize.option("--runs", o->runs, "Most runs").range(1, 10'000'000).shows_default();
  minimize.option("--time", o->seconds, "Most seconds").range(1, 10'000'000).shows_default();
  minimize.flag("--no-qemu", o->no_qemu, "Replay the result on the simulator only");
  add_symbol_options(minimize);
  minimize.footer(
      "A scenario that fails keeps its first failure: the same expectation with the same outcome, and the same place "
      "of\n"
      "the fault when the machine stops. A scenario that passes while a driver does what it must not keeps both. What "
      "is\n"
      "left is NAME.min.toml beside it. Ctrl-C ends it with what there is.\n"
      "Exit code 2: there is nothing to keep.\n"
      "Example: mmsim minimize build/fuzz/driver/My-1f2e3d4c/findings/fault-My-10bd.toml");
  return {minimize, [o] { return minimize_command(*o); }};
}

}  // namespace mm::runner
