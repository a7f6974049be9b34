// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>

#include "core/steps/runner.hpp"
#include "sim/machine/machine.hpp"
#include "tools/lab/run/backend.hpp"

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

class SimBackend final : public Backend {
 public:
  std::string_view name() const noexcept override { return "sim"; }
  std::optional<std::string> unavailable(std::filesystem::path const&) const override { return std::nullopt; }
  std::expected<MachineRun, std::string> run(Prepared const& prepared) const override;
};

std::expected<MachineRun, std::string> SimBackend::run(Prepared const& p) const {
  sim::MachineConfig config;
  config.boot = p.scenario.boot;
  config.profile = p.scenario.reference_profile ? sim::Profile::Reference : sim::Profile::Q35Tcg;
  config.save_state = p.scenario.intel_save_state ? sim::SaveStateLayout::Intel : sim::SaveStateLayout::Amd64;
  config.seed = p.scenario.seed;
  config.defects = p.defects;
  config.mmi_entry = p.mmi_entry;
  auto machine = sim::Simulator::create(config);
  if (!machine) {
    return std::unexpected(machine.error());
  }
  MachineRun run;
  if (auto booted = (*machine)->boot(p.fv, p.scenario.hobs); booted) {
    if (p.audit) {
      audit_mmis(**machine, p, run.audited.emplace());
    }
    steps::run_steps(**machine, p.program.bytes);
    run.complete = !(*machine)->stopped();
  } else {
    run.boot_failed = true;
    run.text.push_back(booted.error());
  }
  for (auto const& event : (*machine)->trace()) {
    add_event(run, event);
  }
  run.dropped_events += (*machine)->dropped_events();
  judge_ring0(run);
  run.stale = (*machine)->stale_entries();
  run.serial = (*machine)->serial_output();
  run.halted = (*machine)->halted();
  if ((*machine)->was_reset()) {
    run.ended = RunEnd::Reset;
  } else if ((*machine)->is_in_hlt()) {
    run.ended = RunEnd::Stopped;
  }
  if (auto const& how = (*machine)->ring0_reached(); !how.empty()) {
    run.ended = RunEnd::Ring3ReachedRing0;
    run.ring0.insert(run.ring0.end(), how.begin(), how.end());
  }
  for (auto const& fetch : (*machine)->double_fetches()) {
    run.breaches.push_back(fmt::format("ring 0 fetched {} byte(s) at {} twice in one MMI (CPU {})", fetch.bytes,
                                       hex_number(fetch.address), fetch.cpu));
  }
  for (auto const& frame : (*machine)->frames()) {
    if (frame.kind == abi::FrameKind::StepResult) {
      add_result_frame(run, frame.payload, frame.events);
    }
  }
  run.dropped_bytes += (*machine)->dropped_frame_bytes();
  return run;
}

}  // namespace

Backend const& simulator() {
  static SimBackend const backend;
  return backend;
}

}  // namespace mm::lab
