// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/run/machine_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace mm::lab {

StepOutcome const* result_at(MachineRun const& run, std::size_t index) {
  // The results come in the order of the steps.
  auto const index_of = [](StepOutcome const& r) { return r.head.index; };
  auto const at = std::ranges::lower_bound(run.results, static_cast<u32>(index), {}, index_of);
  return at == run.results.end() || index_of(*at) != index ? nullptr : &*at;
}

u64 status_of(ScenarioStep const& step, StepOutcome const& outcome) {
  auto const at = step.header_bytes + step.answer_at.value_or(0);
  bool const answered = step.answer_at && outcome.head.status == 0 && outcome.data.size() >= at + sizeof(u64);
  return answered ? load_int(outcome.data, at, sizeof(u64)) : outcome.head.status;
}

std::string under_way(Prepared const& p, MachineRun const& run) {
  auto const& steps = p.scenario.steps;
  std::size_t answered = 0;
  while (answered < steps.size() && result_at(run, p.program.last_of_step[answered]) != nullptr) {
    ++answered;
  }
  if (answered == steps.size()) {
    return "behind the last step";
  }
  if (answered == 0 && run.results.size() < p.program.first_step) {
    return run.trace.empty() ? "while it booted" : "while the drivers were dispatched";
  }
  auto const& step = steps[answered];
  return fmt::format("step {} ({}{}{}) was under way", answered + 1, step.kind, step.title == step.kind ? "" : ", ",
                     step.title == step.kind ? "" : step.title);
}

void add_event(MachineRun& run, hal::TraceEvent const& event) {
  if (auto const halt = hal::as<hal::event::Halt>(event)) {
    run.halted = halt->reason;
  }
  if (run.trace.size() < RunLimits::kEvents || event.kind == hal::TraceKind::Halt) {
    run.trace.push_back(event);
  } else {
    ++run.dropped_events;
  }
}

void add_result_frame(MachineRun& run, std::span<std::byte const> payload, std::size_t events) {
  auto& results = run.results;
  StepOutcome out;
  out.events = events;
  if (payload.size() < sizeof out.head) {
    return;
  }
  std::memcpy(&out.head, payload.data(), sizeof out.head);
  auto data = payload.subspan(sizeof out.head);
  if (run.result_bytes + data.size() > RunLimits::kResultBytes) {
    run.dropped_bytes += data.size();
    data = {};
  }
  run.result_bytes += data.size();
  if (out.head.data_offset == 0) {
    out.data.assign(data.begin(), data.end());
    results.push_back(std::move(out));
  } else if (!results.empty() && results.back().head.index == out.head.index &&
             results.back().data.size() == out.head.data_offset) {
    append_bytes(results.back().data, data);
  }
}

void judge_ring0(MachineRun& run) {
  auto const in_ring3_image = [&run](u64 address) {
    return std::ranges::any_of(run.trace, [address](hal::TraceEvent const& e) {
      auto const image = hal::as<hal::event::ImageLoaded>(e);
      return image && image->user == 1 && Range{image->base, image->bytes}.contains({address, 1});
    });
  };
  for (auto const& e : run.trace) {
    auto const fault = hal::as<hal::event::SupervisorFault>(e);
    if (fault && in_ring3_image(fault->rip)) {
      run.ring0.push_back(
          fmt::format("CPU {} ran code of a ring-3 image at {} as ring 0", e.cpu, hex_number(fault->rip)));
    }
  }
}

std::string_view end_name(RunEnd end) {
  switch (end) {
    case RunEnd::TimeLimit:
      return "TimeLimit";
    case RunEnd::OutputLimit:
      return "OutputLimit";
    case RunEnd::Reset:
      return "Reset";
    case RunEnd::Stopped:
      return "Stopped";
    case RunEnd::Ring3ReachedRing0:
      return "Ring3ReachedRing0";
  }
  return "";
}

StepOutcome const* outcome_of(Prepared const& p, MachineRun const& run, std::size_t index) {
  return result_at(run, p.program.last_of_step.at(index));
}

std::string where_it_stopped(Prepared const& p, MachineRun const& run) {
  std::size_t const steps = p.scenario.steps.size();
  std::size_t answered = 0;
  while (answered < steps && outcome_of(p, run, answered) != nullptr) {
    ++answered;
  }
  if (answered == steps) {
    return "behind the last message";
  }
  if (answered == 0 && run.results.size() < p.program.first_step) {
    return run.trace.empty() ? "while it booted" : "while the drivers were dispatched";
  }
  return fmt::format("while message {} of {} was served, a {}", answered + 1, steps, p.scenario.steps[answered].title);
}

}  // namespace mm::lab
