// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/compare.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tools/lab/tell/transcript.hpp"

namespace mm::lab {
namespace {

using Lines = std::vector<std::string>;
constexpr std::size_t kContext = 4;

u64& field_of(hal::TraceEvent& e, char letter) {
  u64* const fields[] = {&e.a, &e.b, &e.c, &e.d, &e.e, &e.f};
  return *fields[static_cast<std::size_t>(letter - 'a')];
}

/// `event` with the fields that may differ taken from `machine`.
hal::TraceEvent with_fields(hal::TraceEvent event, hal::TraceEvent machine, std::string_view letters) {
  for (char const letter : letters) {
    field_of(event, letter) = field_of(machine, letter);
  }
  return event;
}

Lines part(Lines const& lines, std::size_t from, std::size_t to) {
  from = std::min(from, lines.size());
  to = std::min(to, lines.size());
  return {lines.begin() + static_cast<std::ptrdiff_t>(from), lines.begin() + static_cast<std::ptrdiff_t>(to)};
}

std::string end_of(MachineRun const& run) {
  return run.ended      ? std::string{end_name(*run.ended)}
         : run.halted   ? fmt::format("Halt {}", halt_name(*run.halted))
         : run.complete ? "the end of the steps"
                        : "a failed boot";
}

Difference difference_at(char const* in, std::size_t at, Lines const& sim, Lines const& machine) {
  auto const line = [&](Lines const& lines) { return at < lines.size() ? lines[at] : std::string{}; };
  return {in,
          at + 1,
          part(sim, at - std::min(at, kContext), at),
          line(sim),
          line(machine),
          part(sim, at + 1, at + 1 + kContext),
          part(machine, at + 1, at + 1 + kContext)};
}

}  // namespace

Comparison compare(Prepared const& p, MachineRun const& sim, MachineRun const& machine,
                   std::span<sim::FidelityGap const> gaps) {
  Comparison out;
  auto const sim_steps = describe_results(p, sim);
  auto const machine_steps = describe_results(p, machine);
  if (auto const [x, y] = std::ranges::mismatch(sim_steps, machine_steps);
      x != sim_steps.end() || y != machine_steps.end()) {
    out.difference = difference_at("step", static_cast<std::size_t>(x - sim_steps.begin()), sim_steps, machine_steps);
    return out;
  }
  auto const sim_end = end_of(sim);
  auto const machine_end = end_of(machine);
  if (sim_end != machine_end) {
    out.difference = Difference{"the end", 0, {}, sim_end, machine_end, {}, {}};
    return out;
  }
  if (sim.dropped_events != 0 || machine.dropped_events != 0) {
    return out;  // where each stopped to keep events depends on the turns of its CPUs
  }
  auto const sim_events = in_order(sim.trace);
  auto const machine_events = in_order(machine.trace);
  auto const sim_lines = render(p, sim, sim_events);
  auto const machine_lines = render(p, machine, machine_events);
  auto const declared_at = [&](std::size_t i) -> sim::FidelityGap const* {
    for (auto const& gap : gaps) {
      for (auto const& pattern : gap.transcript) {
        auto const& s = sim_events[i];
        auto const& m = machine_events[i];
        bool const fits = !pattern.fields.empty() && s.kind == pattern.kind && m.kind == s.kind && pattern.holds(s, m);
        if (fits && render(p, machine, {with_fields(s, m, pattern.fields)})[0] == machine_lines[i]) {
          return &gap;
        }
      }
    }
    return nullptr;
  };
  for (std::size_t i = 0; i < std::max(sim_lines.size(), machine_lines.size()); ++i) {
    bool const both = i < sim_lines.size() && i < machine_lines.size();
    if (both && sim_lines[i] == machine_lines[i]) {
      continue;
    }
    auto const* gap = both ? declared_at(i) : nullptr;
    if (gap == nullptr) {
      out.difference = difference_at("event", i, sim_lines, machine_lines);
      return out;
    }
    out.declared.push_back({gap->id, sim_lines[i], machine_lines[i]});
  }
  return out;
}

}  // namespace mm::lab
