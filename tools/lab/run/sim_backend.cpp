// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "core/steps/runner.hpp"
#include "sim/machine/machine.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/sim_config.hpp"

namespace mm::lab {
namespace {

/// Audits the page tables now and after each MMI to come.
void audit_mmis(sim::Simulator& machine, Prepared const& p, audit::Report& report) {
  auto const look = [&machine, &p, &report] {
    audit::audit(audit::facts_of(machine, [&p](Guid const& guid) { return image_name(p, guid); }), report);
  };
  look();
  machine.observe_mmis(look);
}

/// `stacks` gets those of faults, `blocks` what ring 3 runs when that is asked for.
std::expected<std::unique_ptr<sim::Simulator>, std::string> make(Prepared const& p,
                                                                 std::vector<sim::Ring3Stack>& stacks,
                                                                 sim::BlockLog& blocks) {
  auto config = machine_config(p);
  config.stacks = &stacks;
  config.block_log = p.coverage ? &blocks : nullptr;
  return sim::Simulator::create(config);
}

/// Adds to `run` what the machine recorded of events, stacks and double fetches, and takes it from the machine.
void take_events(sim::Simulator& machine, std::vector<sim::Ring3Stack>& stacks, MachineRun& run) {
  for (auto& stack : stacks) {
    stack.event += run.trace.size();
    if (run.witness.stacks.size() < sim::Ring3Stack::kMostStacks) {
      run.witness.stacks.push_back(std::move(stack));
    }
  }
  stacks.clear();
  for (auto const& event : machine.trace()) {
    add_event(run, event);
  }
  run.dropped_events += machine.dropped_events();
  for (auto const& fetch : machine.double_fetches()) {
    if (run.breaches.size() < sim::Simulator::kMaxDoubleFetches) {
      run.breaches.push_back(fmt::format("ring 0 fetched {} byte(s) at {} twice in one MMI (CPU {})", fetch.bytes,
                                         hex_number(fetch.address), fetch.cpu));
    }
  }
  machine.clear_trace();
}

/// The same with the results of steps.
void take_results(sim::Simulator& machine, MachineRun& run) {
  for (auto const& frame : machine.frames()) {
    if (frame.kind == abi::FrameKind::StepResult) {
      add_result_frame(run, frame.payload, frame.events);
    }
  }
  machine.clear_frames();
}

/// Runs the programs of `stream`. Their events are added to `run`, their results go back to the stream.
void follow(sim::Simulator& machine, Stream const& stream, std::vector<sim::Ring3Stack>& stacks, MachineRun& run) {
  MachineRun part;
  while (!machine.stopped()) {
    auto const program = stream.next();
    if (!program) {
      return;
    }
    steps::run_steps(machine, *program);
    take_events(machine, stacks, run);
    take_results(machine, part);
    stream.take_over(part.results);
    run.dropped_bytes += std::exchange(part.dropped_bytes, 0);
    part.results.clear();
    part.result_bytes = 0;
  }
}

/// How the machine ended.
void tell_end(sim::Simulator const& machine, MachineRun& run) {
  judge_ring0(run);
  run.witness.stale = machine.stale_entries();
  run.serial = machine.serial_output();
  run.witness.devices = machine.device_logs();
  run.halted = machine.halted();
  if (machine.was_reset()) {
    run.ended = RunEnd::Reset;
  } else if (machine.is_in_hlt()) {
    run.ended = RunEnd::Stopped;
  }
  if (auto const& how = machine.ring0_reached(); !how.empty()) {
    run.ended = RunEnd::Ring3ReachedRing0;
    run.ring0.insert(run.ring0.end(), how.begin(), how.end());
  }
  run.dropped_bytes += machine.dropped_frame_bytes();
}

std::expected<MachineRun, std::string> run_all(Prepared const& p, Stream const* stream) {
  std::vector<sim::Ring3Stack> stacks;
  sim::BlockLog blocks;
  auto const machine = make(p, stacks, blocks);
  if (!machine) {
    return std::unexpected(machine.error());
  }
  sim::Simulator& m = **machine;
  MachineRun run;
  auto const booted = m.boot(p.fv, p.scenario.hobs);
  if (booted) {
    if (p.audit) {
      audit_mmis(m, p, run.audited.emplace());
    }
    steps::run_steps(m, p.program.bytes);
  } else {
    run.boot_failed = true;
    run.text.push_back(booted.error());
  }
  take_events(m, stacks, run);
  take_results(m, run);
  if (booted && stream != nullptr) {
    follow(m, *stream, stacks, run);
  }
  run.complete = booted && !m.stopped();
  tell_end(m, run);
  run.witness.blocks = blocks.blocks();
  return run;
}

class SimBackend final : public Backend {
 public:
  std::string_view name() const noexcept override { return "sim"; }
  std::optional<std::string> unavailable(std::filesystem::path const&) const override { return std::nullopt; }
  std::expected<MachineRun, std::string> run(Prepared const& p) const override { return run_all(p, nullptr); }
};

}  // namespace

Backend const& simulator() {
  static SimBackend const backend;
  return backend;
}

std::expected<MachineRun, std::string> run_stream(Prepared const& prepared, Stream const& stream) {
  return run_all(prepared, &stream);
}

}  // namespace mm::lab
