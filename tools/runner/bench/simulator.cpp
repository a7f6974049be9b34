// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/bench/simulator.hpp"

#include <fmt/format.h>

#include <array>
#include <memory>

#include "core/steps/runner.hpp"
#include "tools/runner/bench/drivers.hpp"

namespace mm::runner::bench {
namespace {

constexpr u64 kDirtyPages = 64;
/// Normal-world RAM that nothing uses, to be dirtied.
constexpr u64 kScratch = 0x300'0000;

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

}  // namespace

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

}  // namespace mm::runner::bench
