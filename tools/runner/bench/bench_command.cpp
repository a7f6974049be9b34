// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/lab/text/json_text.hpp"
#include "tools/runner/bench/qemu.hpp"
#include "tools/runner/bench/rows.hpp"
#include "tools/runner/bench/search.hpp"
#include "tools/runner/bench/simulator.hpp"
#include "tools/runner/bench/user.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

using namespace mm::runner::bench;

struct BenchOptions {
  std::vector<std::string> groups;  ///< empty: all
  std::filesystem::path compare;    ///< empty: with nothing
  bool json = false;
  bool search = false;  ///< what the fuzzer of drivers finds, instead of how fast things are
  bench::SearchOptions how;
};

/// Rows that belong together, under a heading.
struct Group {
  std::string heading;
  std::vector<Row> rows;
};

struct Measured {
  std::vector<Group> groups;
  std::vector<std::string> notes;  ///< what was not measured, and why
};

std::vector<Row> or_note(std::vector<std::string>& notes, char const* what, Result<std::vector<Row>> rows) {
  if (!rows) {
    notes.push_back(fmt::format("{}: not measured: {}", what, rows.error()));
    return {};
  }
  return std::move(*rows);
}

Measured measure(BenchOptions const& o) {
  auto const images = images_folder();
  auto const wanted = [&o](char const* name) {
    return o.groups.empty() || std::ranges::find(o.groups, name) != o.groups.end();
  };
  Measured out;
  if (wanted("user")) {
    out.groups.push_back({"What a user gets, by the clock, process start included", command_rows(images, out.notes)});
  }
  if (wanted("fuzz")) {
    out.groups.push_back({"Fuzzing, in a second of CPU time", fuzz_rows(out.notes)});
  }
  if (wanted("simulator")) {
    out.groups.push_back({fmt::format("Inside the simulator, by CPU time: median of {} times {} MMIs, of {} machines, "
                                      "of {} resets; every reply checked",
                                      kRepeats, kMmis, kMachines, kResets),
                          or_note(out.notes, "simulator", simulator_rows(images))});
  }
  if (wanted("qemu")) {
    out.groups.push_back({fmt::format("QEMU, 1 CPU, -icount shift=0, release build of the supervisor: least of {} "
                                      "(guest instructions)",
                                      kTimedMmis),
                          or_note(out.notes, "qemu", qemu_rows(images))});
  }
  return out;
}

void tell(Measured const& m, OldValues const& old) {
  for (auto const& group : m.groups) {
    std::cout << group.heading << '\n';
    print(group.rows, old);
    std::cout << '\n';
  }
  for (auto const& note : m.notes) {
    std::cout << note << '\n';
  }
}

void tell_json(Measured const& m, OldValues const& old) {
  auto rows = nlohmann::json::array();
  for (auto const& group : m.groups) {
    for (auto& row : to_json(group.rows, old)) {
      rows.push_back(row);
    }
  }
  nlohmann::json out{
      {"schema", 1}, {"repeats", kRepeats}, {"mmis", kMmis}, {"machine", machine_facts()}, {"rows", std::move(rows)}};
  if (!m.notes.empty()) {
    out["not_measured"] = m.notes;
  }
  std::cout << lab::json_text(out);
}

/// kFailed: a mistake was not found, or something where nothing is.
int search_command(BenchOptions const& o) {
  if (!o.json) {
    std::cout << search_head() << std::flush;
  }
  auto const all = search(
      o.how,
      o.json ? [](Searched const&) {} : [](Searched const& one) { std::cout << search_line(one) << std::flush; });
  if (o.json) {
    auto list = nlohmann::json::array();
    for (auto const& one : all) {
      list.push_back(to_json(one));
    }
    std::cout << lab::json_text({{"schema", 1}, {"machine", machine_facts()}, {"search", std::move(list)}});
  } else {
    std::cout << search_summary(all);
  }
  bool const tried = std::ranges::any_of(all, [](Searched const& one) { return one.error.empty(); });
  return !tried ? kEnvironment : std::ranges::all_of(all, &Searched::good) ? kPassed : kFailed;
}

int bench_command(BenchOptions const& o) {
  if (o.search) {
    return search_command(o);
  }
  OldValues old;
  if (!o.compare.empty()) {
    auto loaded = load_old(o.compare);
    if (!loaded) {
      std::cerr << "mmsim: " << loaded.error() << '\n';
      return kBadInput;
    }
    old = std::move(*loaded);
  }
  auto const measured = measure(o);
  o.json ? tell_json(measured, old) : tell(measured, old);
  bool const any = std::ranges::any_of(measured.groups, [](Group const& g) { return !g.rows.empty(); });
  return any ? kPassed : kEnvironment;
}

}  // namespace

Command add_bench_command(Arguments program) {
  auto const o = std::make_shared<BenchOptions>();
  auto bench = program.command("bench", "Measure what a user gets, MMIs per second, and the time to make a machine");
  bench.option("GROUP", o->groups, "What to measure: user, fuzz, simulator, qemu; all of them without one")
      .one_of(std::vector<std::string>{"user", "fuzz", "simulator", "qemu"});
  bench.option("--compare", o->compare, "An older --json output: each row also says by how much it became better");
  bench.flag("--search", o->search,
             "With fuzz: what the fuzzer finds in drivers with a planted mistake, and after how much");
  bench.option("--seconds", o->how.seconds, "With --search: most seconds for a mistake")
      .range(1, 100'000)
      .shows_default();
  bench.option("--jobs", o->how.jobs, "With --search: fuzzers at once").range(1, 64).shows_default();
  bench.option("--seed", o->how.seed, "With --search: of the mutations").not_negative().shows_default();
  bench.flag("--fast", o->how.fast, "With --search: the fuzzer without sanitizers");
  bench.flag("--json", o->json, "One JSON object, with what the machine is");
  bench.footer(
      "Compare figures of one sitting only: load and temperature of the host count as much as the code. Instructions\n"
      "are counted on QEMU, with one CPU, and repeat exactly on every host.\n"
      "Examples:\n"
      "  mmsim bench qemu\n"
      "  mmsim bench --json > before.json    # change something, build, then:\n"
      "  mmsim bench --compare before.json\n"
      "  mmsim bench fuzz --search           # each mistake of scenarios/drivers/vulnerable, from an empty corpus\n"
      "Exit codes: 0 something was measured; 1 with --search: a mistake was not found, or something in a sound "
      "driver;\n"
      "2 bad input; 3 nothing could be measured.");
  return {bench, [o] {
            if (o->search && o->groups != std::vector<std::string>{"fuzz"}) {
              std::cerr << "mmsim: --search goes with the group fuzz alone: mmsim bench fuzz --search\n";
              return int{kBadInput};
            }
            return bench_command(*o);
          }};
}

}  // namespace mm::runner
