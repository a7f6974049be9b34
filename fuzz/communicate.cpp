// SPDX-License-Identifier: BSD-2-Clause-Patent
// Communicate messages to a booted machine, which goes back to its start before each input.
// tools/lab/fuzzing/sequence.hpp says what an input is, fuzz/support/watch.hpp what must hold.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "core/steps/runner.hpp"
#include "fuzz/support/check.hpp"
#include "fuzz/support/images.hpp"
#include "fuzz/support/target.hpp"
#include "fuzz/support/watch.hpp"
#include "tools/lab/run/sim_config.hpp"
#include "tools/lab/scenario/names.hpp"

/// Edge counters of ring 3, by which libFuzzer sees progress inside the guest.
[[gnu::section("__libfuzzer_extra_counters")]] static std::array<mm::u8, 1 << 13> g_ring3_counters;

namespace {

using namespace mm;

constexpr u64 kUserBudgetBlocks = 20'000;
/// One input in so many is run twice, and must do the same again.
constexpr u64 kRepeated = 64;

[[noreturn]] void give_up(std::string const& why) {
  std::fprintf(stderr, "the machine for fuzzing cannot be made: %s\n", why.c_str());
  std::_Exit(3);
}

u32 defect_bits() {
  for (auto const& [name, check] : lab::kCheckNames) {
    if (fuzz::planted(name)) {
      return supervisor::bit_of(check);
    }
  }
  return 0;
}

/// A machine whose drivers have started.
std::unique_ptr<sim::Simulator> boot() {
  auto const prepared = lab::prepare_sequence(fuzz::images_folder(MM_IMAGE_DIR));
  if (!prepared) {
    give_up(prepared.error());
  }
  auto config = lab::machine_config(*prepared);
  config.user_budget_blocks = kUserBudgetBlocks;
  config.defects = defect_bits();
  config.record_trace = false;
  config.coverage = g_ring3_counters;
  auto machine = sim::Simulator::create(config);
  if (!machine) {
    give_up(machine.error());
  }
  if (auto const booted = (*machine)->boot(prepared->fv); !booted) {
    give_up(booted.error());
  }
  steps::run_steps(**machine, prepared->program.bytes);
  if ((*machine)->halted()) {
    give_up("it halted while its drivers started");
  }
  return std::move(*machine);
}

u64 send_all(sim::Simulator& machine, fuzz::Watch& watch, std::span<std::byte const> input) {
  static lab::SequenceMessage message;
  watch.reset();
  lab::SequenceReader reader{input};
  while (!machine.stopped() && reader.next(message)) {
    watch.send(message);
  }
  return watch.outcome();
}

}  // namespace

/// Detecting use after return would keep a shadow stack for each fiber that a halt abandons: memory without bound.
extern "C" char const* __asan_default_options() { return "detect_stack_use_after_return=0:quarantine_size_mb=16"; }

std::span<std::string_view const> mm::fuzz::defects() {
  static constexpr auto kNames = [] {
    std::array<std::string_view, lab::kCheckNames.size()> names;
    std::ranges::transform(lab::kCheckNames, names.begin(), [](auto const& entry) { return entry.first; });
    return names;
  }();
  return kNames;
}

void mm::fuzz::run(std::span<std::byte const> input) {
  static std::unique_ptr<sim::Simulator> const machine = boot();
  static Watch watch{*machine};
  static u64 inputs = 0;
  u64 const outcome = send_all(*machine, watch, input);
  if (inputs++ % kRepeated == 0) {
    MM_FUZZ_CHECK(send_all(*machine, watch, input) == outcome);
  }
}
