// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/abi/platform.hpp"
#include "core/steps/runner.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/runner/bench/drivers.hpp"
#include "tools/runner/bench/machine.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

using namespace mm::runner::bench;
using lab::Bytes;

constexpr u32 kMmis = 20'000;
constexpr u32 kMachines = 15;
constexpr u32 kResets = 500;
constexpr u32 kFuzzRuns = 30'000;
constexpr u64 kDirtyPages = 64;
constexpr u64 kTimedMmis = 2000;
constexpr u64 kMessageBytes = 64;
/// Normal-world RAM that nothing uses, to be dirtied.
constexpr u64 kScratch = 0x300'0000;

/// One line of the table: median of the repeats.
struct Row {
  std::string id;
  std::string title;
  double value = 0;
  std::string unit;
  std::string goal;  ///< empty: none
  std::optional<bool> met;
};

Row at_least(std::string id, std::string title, double value, double goal) {
  return {std::move(id), std::move(title), value, "MMI/s", fmt::format(">= {:.0f}", goal), value >= goal};
}

Row below(std::string id, std::string title, double value, std::string unit, double goal) {
  return {std::move(id), std::move(title), value, std::move(unit), fmt::format("< {:.0f}", goal), value < goal};
}

/// A machine with one driver.
Result<lab::Prepared> machine_with(char const* driver, std::filesystem::path const& images, char const* supervisor) {
  MM_TRY_ASSIGN(auto loaded, scenario_with(driver, "", images));
  loaded.supervisor = supervisor;
  return lab::prepare(std::move(loaded), images);
}

/// A message of 64 letters to a driver that answers like Hello, and the reply to it.
struct Exchange {
  Bytes request;
  Bytes reply;
};

Exchange exchange(char const* driver = "Hello") {
  Bytes const letters(kMessageBytes, std::byte{'a'});
  return {request_of(lab::find_guid(driver).value_or(Guid{}), letters), Bytes(kMessageBytes, std::byte{'A'})};
}

/// One message, as the normal world sends it; false when mailbox or reply are not what they must be.
bool answers(sim::Simulator& machine, Exchange const& x) {
  auto const reply = send(machine, x.request);
  return reply.status == 0 && reply.message == x.reply;
}

sim::MachineConfig config_with(lab::Prepared const& p, u32 cpus) {
  auto config = config_of(p);
  config.boot.cpus = cpus;
  return config;
}

/// The event that starts the drivers. It leaves no reply worth looking at.
void dispatch(sim::Simulator& machine, lab::Prepared const& p) { steps::run_steps(machine, p.program.bytes); }

Result<std::unique_ptr<sim::Simulator>> ready(lab::Prepared const& p, u32 cpus) {
  auto machine = boot(p, config_with(p, cpus));
  if (machine) {
    dispatch(**machine, p);
  }
  return machine;
}

Result<double> rate(lab::Prepared const& p, u32 cpus, bool with_reset) {
  auto machine = ready(p, cpus);
  if (!machine) {
    return std::unexpected(machine.error());
  }
  auto const x = exchange();
  if (!answers(**machine, x)) {
    return std::unexpected(std::string{"Hello did not answer as it must"});
  }
  (*machine)->snapshot();
  std::vector<double> rates;
  for (u32 repeat = 0; repeat < kRepeats; ++repeat) {
    auto const start = Clock::now();
    for (u32 i = 0; i < kMmis; ++i) {
      if (with_reset) {
        (*machine)->reset();
      }
      if (!answers(**machine, x)) {
        return std::unexpected(fmt::format("wrong reply in MMI {} of repeat {}", i, repeat));
      }
    }
    rates.push_back(kMmis / seconds_since(start));
  }
  return median(std::move(rates));
}

struct Creation {
  double create_ms = 0;
  double boot_ms = 0;
  double reply_ms = 0;
};

Result<Creation> creation(lab::Prepared const& p) {
  auto const x = exchange();
  std::vector<double> created;
  std::vector<double> booted;
  std::vector<double> replied;
  for (u32 i = 0; i < kMachines; ++i) {
    auto const start = Clock::now();
    auto machine = sim::Simulator::create(config_with(p, 1));
    if (!machine) {
      return std::unexpected(machine.error());
    }
    created.push_back(seconds_since(start) * 1e3);
    if (auto const done = (*machine)->boot(p.fv); !done) {
      return std::unexpected(done.error());
    }
    booted.push_back(seconds_since(start) * 1e3);
    dispatch(**machine, p);
    if (!answers(**machine, x)) {
      return std::unexpected(std::string{"Hello did not answer as it must"});
    }
    replied.push_back(seconds_since(start) * 1e3);
  }
  return Creation{median(std::move(created)), median(std::move(booted)), median(std::move(replied))};
}

Result<double> reset_us(lab::Prepared const& p) {
  auto machine = ready(p, 1);
  if (!machine) {
    return std::unexpected(machine.error());
  }
  (*machine)->snapshot();
  std::vector<double> times;
  std::array<std::byte, 1> const one{std::byte{1}};
  std::array<std::byte, 1> seen{};
  for (u32 i = 0; i < kResets; ++i) {
    for (u64 page = 0; page < kDirtyPages; ++page) {
      (*machine)->write(PhysAddr{kScratch + page * kPageSize}, one);
    }
    auto const start = Clock::now();
    (*machine)->reset();
    times.push_back(seconds_since(start) * 1e6);
    (*machine)->read(PhysAddr{kScratch}, seen);
    if (seen[0] == one[0]) {
      return std::unexpected(std::string{"reset did not bring a page back"});
    }
  }
  return median(std::move(times));
}

Result<std::vector<Row>> simulator_rows(std::filesystem::path const& images) {
  auto const p = machine_with("Hello", images, "MmSupervisorCore");
  if (!p) {
    return std::unexpected(p.error());
  }
  std::vector<Row> rows;
  struct Rate {
    char const* id;
    char const* title;
    u32 cpus;
    bool reset;
    double goal;
  };
  for (auto const& r : {Rate{"hello_mmi_per_second", "Hello, 64 bytes, 1 CPU", 1, false, 50'000},
                        Rate{"hello_reset_mmi_per_second", "the same, reset before each", 1, true, 50'000},
                        Rate{"hello_4cpu_mmi_per_second", "Hello, 64 bytes, 4 CPUs", 4, false, 15'000}}) {
    auto const value = rate(*p, r.cpus, r.reset);
    if (!value) {
      return std::unexpected(value.error());
    }
    rows.push_back(at_least(r.id, r.title, *value, r.goal));
  }
  auto const made = creation(*p);
  auto const reset = reset_us(*p);
  if (!made || !reset) {
    return std::unexpected(made ? reset.error() : made.error());
  }
  rows.push_back({"create_ms", "create a machine", made->create_ms, "ms", "", {}});
  rows.push_back(below("boot_ms", "create and boot", made->boot_ms, "ms", 10));
  rows.push_back({"first_reply_ms", "create, boot, first reply", made->reply_ms, "ms", "", {}});
  rows.push_back(below("reset_64_pages_us", "reset of 64 dirty pages", *reset, "us", 10));
  auto const drivers = measure_drivers(images);
  if (!drivers) {
    return std::unexpected(drivers.error());
  }
  rows.push_back({"dispatch_500_ms", "dispatch of 500 drivers in a chain", drivers->dispatch_500_ms, "ms", "", {}});
  rows.push_back(
      below("dispatch_1000_ms", "dispatch of 1,000 drivers in a chain", drivers->dispatch_1000_ms, "ms", 2000));
  rows.push_back({"pool_100000_ms", "100,000 pool allocations and frees, one MMI", drivers->pool_ms, "ms", "", {}});
  rows.push_back(
      {"get_variable_per_second", "GetVariable, 64 bytes", drivers->get_variable_per_second, "MMI/s", "", {}});
  return rows;
}

double child_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_CHILDREN, &used);
  auto const seconds = [](timeval const& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

/// Executions of the fuzzer `communicate` in a second of CPU time, everything that libFuzzer does included: the
/// committed seeds, a new corpus, always the same seed of the mutations.
Result<double> fuzz_rate(bool fast) {
  auto const program = fuzz_program_path("communicate", fast);
  if (::access(program.c_str(), X_OK) != 0) {
    return std::unexpected(fuzz_build_hint("communicate", fast));
  }
  auto folder = (std::filesystem::temp_directory_path() / "mm_bench_XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) {
    return std::unexpected(folder + ": cannot be made");
  }
  auto const seeds = (images_folder() / "../../../fuzz/corpus/communicate").lexically_normal();
  auto const command = fmt::format("'{0}' -runs={1} -seed=1 -artifact_prefix='{2}/' '{2}' '{3}' >'{2}.log' 2>&1",
                                   program.string(), kFuzzRuns, folder, seeds.string());
  double const before = child_seconds();
  int const code = std::system(command.c_str());
  double const seconds = child_seconds() - before;
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  if (code != 0) {
    return std::unexpected(fmt::format("{} failed: see {}.log", program.string(), folder));
  }
  std::filesystem::remove(folder + ".log", ignored);
  return kFuzzRuns / seconds;
}

/// A program that is not built is not measured: `notes` says so.
std::vector<Row> fuzz_rows(std::vector<std::string>& notes) {
  std::vector<Row> rows;
  auto const add = [&](char const* id, char const* title, bool fast, double goal) {
    auto const value = fuzz_rate(fast);
    if (value) {
      rows.push_back({id, title, *value, "exec/s", fmt::format(">= {:.0f}", goal), *value >= goal});
    } else {
      notes.push_back(fmt::format("{}: not measured: {}", title, value.error()));
    }
  };
  add("fuzz_communicate_per_second", "fuzz communicate, coverage, no sanitizers", true, 15'000);
  add("fuzz_communicate_sanitized_per_second", "fuzz communicate, coverage, ASan and UBSan", false, 5'000);
  return rows;
}

/// One measurement on QEMU: the OUT, with a message before each or without.
struct Timed {
  char const* id;
  char const* title;
  u64 port;
  Bytes message;
  std::optional<double> below;
};

Bytes timed_program(std::vector<Timed> const& list) {
  lab::Scenario s;
  for (auto const& t : list) {
    auto const bytes = static_cast<u32>(t.message.size());
    s.steps.emplace_back().program.push_back(
        {{static_cast<u16>(steps::StepOp::TimedMmi), 0, bytes, kTimedMmis, t.port, 0}, t.message});
  }
  return lab::encode_program(s).bytes;
}

/// Dispatches one driver, then takes each measurement. Under `-icount shift=0` the TSC counts instructions.
Result<std::vector<Row>> measure_on_qemu(char const* driver, std::vector<Timed> const& list,
                                         std::filesystem::path const& images) {
  auto p = machine_with(driver, images, "MmSupervisorCoreRelease");
  if (!p) {
    return std::unexpected(p.error());
  }
  p->program.bytes = timed_program(list);
  p->scenario.boot.steps_bytes = p->program.bytes.size();
  p->qemu.options = {"-icount", "shift=0,sleep=off"};
  auto const run = lab::qemu().run(*p);
  if (!run) {
    return std::unexpected(run.error());
  }
  constexpr std::size_t kFirst = 1;  // result 0 is the dispatch
  if (run->results.size() != kFirst + list.size()) {
    return std::unexpected(
        fmt::format("QEMU gave {} results instead of {}", run->results.size(), kFirst + list.size()));
  }
  std::vector<Row> rows;
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto const& t = list[i];
    auto const& head = run->results[kFirst + i].head;
    if (head.status != 0) {
      return std::unexpected(fmt::format("{}: status {:#x}", t.title, head.status));
    }
    auto const value = static_cast<double>(head.value);
    auto const title = fmt::format("{}; mean {}", t.title, head.detail);
    rows.push_back(t.below ? below(t.id, title, value, "instr", *t.below) : Row{t.id, title, value, "instr", "", {}});
  }
  return rows;
}

Result<std::vector<Row>> qemu_rows(std::filesystem::path const& images) {
  constexpr double kEdk2Empty = 651;  // what edk2's ring-0 SMM stack takes for an MMI without work
  constexpr u64 kMmi = platform::kPortApmCnt;
  struct Run {
    char const* driver;
    std::vector<Timed> list;
  };
  Run const runs[] = {
      {"Hello",
       {{"qemu_floor_instructions", "OUT to port 0x80 (floor)", 0x80, {}, {}},
        {"qemu_empty_mmi_instructions", "empty MMI: no message, no root handler", kMmi, {}, kEdk2Empty},
        {"qemu_hello_mmi_instructions", "Hello, 64 bytes", kMmi, exchange("Hello").request, {}}}},
      {"HelloSyscalls",
       {{"qemu_hello_3_syscalls_instructions",
         "the same with 3 allowed system calls",
         kMmi,
         exchange("HelloSyscalls").request,
         {}}}},
      {"RootHandler",
       {{"qemu_root_handler_mmi_instructions", "no message, one root handler in ring 3", kMmi, {}, {}}}}};
  std::vector<Row> rows;
  for (auto const& run : runs) {
    auto const some = measure_on_qemu(run.driver, run.list, images);
    if (!some) {
      return some;
    }
    rows.insert(rows.end(), some->begin(), some->end());
  }
  return rows;
}

void print(std::vector<Row> const& rows) {
  for (auto const& r : rows) {
    auto const value = r.value >= 1000 ? fmt::format("{:.0f}", r.value) : fmt::format("{:.2f}", r.value);
    std::cout << fmt::format("{:<56} {:>9} {:<6} {:<10} {}\n", r.title, value, r.unit, r.goal,
                             r.met ? (*r.met ? "met" : "MISSED") : "");
  }
}

nlohmann::json to_json(std::vector<Row> const& rows) {
  auto list = nlohmann::json::array();
  for (auto const& r : rows) {
    nlohmann::json row{{"id", r.id}, {"title", r.title}, {"value", r.value}, {"unit", r.unit}};
    if (r.met) {
      row["goal"] = r.goal;
      row["met"] = *r.met;
    }
    list.push_back(std::move(row));
  }
  return list;
}

int bench_command(bool json) {
  auto const images = images_folder();
  auto rows = simulator_rows(images);
  if (!rows) {
    std::cerr << "mmsim: " << rows.error() << '\n';
    return kEnvironment;
  }
  std::vector<std::string> notes;
  auto const fuzzers = fuzz_rows(notes);
  rows->insert(rows->end(), fuzzers.begin(), fuzzers.end());
  auto const on_qemu = qemu_rows(images);
  if (json) {
    if (on_qemu) {
      rows->insert(rows->end(), on_qemu->begin(), on_qemu->end());
    }
    nlohmann::json out{{"schema", 1}, {"repeats", kRepeats}, {"mmis", kMmis}, {"rows", to_json(*rows)}};
    if (!notes.empty()) {
      out["not_measured"] = notes;
    }
    if (!on_qemu) {
      out["qemu"] = on_qemu.error();
    }
    std::cout << lab::json_text(out);
    return kPassed;
  }
  std::cout << fmt::format("Simulator: median of {} times {} MMIs, of {} machines, of {} resets; every reply checked\n",
                           kRepeats, kMmis, kMachines, kResets);
  print(*rows);
  for (auto const& note : notes) {
    std::cout << note << '\n';
  }
  std::cout << "\nQEMU, 1 CPU, -icount shift=0, release build of the supervisor: least of " << kTimedMmis
            << " (guest instructions)\n";
  if (on_qemu) {
    print(*on_qemu);
  } else {
    std::cout << "not measured: " << on_qemu.error() << '\n';
  }
  return kPassed;
}

}  // namespace

Command add_bench_command(Arguments program) {
  auto const json = std::make_shared<bool>();
  auto bench = program.command("bench", "Measure MMIs per second and the time to make a machine");
  bench.flag("--json", *json, "One JSON object");
  bench.footer("Compare figures of one run only. Instructions are counted on QEMU, with one CPU, and repeat exactly.");
  return {bench, [json] { return bench_command(*json); }};
}

}  // namespace mm::runner
