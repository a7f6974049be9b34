// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/steps/program.hpp"
#include "hal/roles/trace.hpp"
#include "tools/lab/audit/rules.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/run/witness.hpp"

/// What one run on one machine left behind, whatever the machine was.
namespace mm::lab {

/// One step's result, its frames joined.
struct StepOutcome {
  steps::StepResult head;
  Bytes data;
  std::size_t events = 0;  ///< trace events up to it
};

/// How a machine ended that neither came to the end of its steps nor said why it halted.
enum class RunEnd : u8 {
  TimeLimit,          ///< the emulator was killed because its time was over
  OutputLimit,        ///< it was killed because it said more than is kept
  Reset,              ///< the machine was reset or switched off, or its normal world died of a triple fault
  Stopped,            ///< CPUs are in HLT inside MM, and nothing says why: so halts the release core
  Ring3ReachedRing0,  ///< simulator: nothing runs behind that
};
std::string_view end_name(RunEnd end);

/// What is kept of one run, so that no scenario takes more memory of the host than README.md states.
struct RunLimits {
  static constexpr std::size_t kEvents = 1u << 18;        ///< and the halt
  static constexpr std::size_t kResultBytes = 64u << 20;  ///< of data
  static constexpr std::size_t kConsoleBytes = 128u << 20;
};

/// What a machine reported.
struct MachineRun {
  std::vector<hal::TraceEvent> trace;
  std::vector<StepOutcome> results;
  std::vector<std::string> text;      ///< diagnostic lines, boot errors included
  std::vector<std::string> breaches;  ///< what the simulator saw ring 0 do that it must not
  std::string serial;                 ///< what was written to the serial port at 0x3F8
  std::optional<hal::HaltReason> halted;
  std::optional<RunEnd> ended;
  std::vector<u32> outside;        ///< CPUs that the halt of the release core left outside MM
  Witness witness;                 ///< what only the simulator sees
  std::vector<std::string> ring0;  ///< how ring 3 reached ring 0: no scenario may expect it
  u64 dropped_events = 0;          ///< beyond RunLimits
  u64 result_bytes = 0;            ///< of data in `results`
  u64 dropped_bytes = 0;           ///< of results, beyond RunLimits
  bool boot_failed = false;
  bool complete = false;                 ///< the machine said that it reached the end of the steps
  std::optional<audit::Report> audited;  ///< when it was asked for
};

/// Joins a StepResult frame, which `events` trace events precede, to the results so far; frames that do not fit are
/// ignored, data beyond RunLimits is counted and left out.
void add_result_frame(MachineRun& run, std::span<std::byte const> payload, std::size_t events);
/// Adds an event, or counts it beyond RunLimits; a halt is always added.
void add_event(MachineRun& run, hal::TraceEvent const& event);
/// What the events say of ring 3 in ring 0, into `run.ring0`: a fault of ring 0 at an address of a ring-3 image.
void judge_ring0(MachineRun& run);

/// The result of the program step with this index; null when it gave none.
StepOutcome const* result_at(MachineRun const& run, std::size_t index);
/// The status that a step gave: of a request to the supervisor that was answered, the one in the answer.
u64 status_of(ScenarioStep const& step, StepOutcome const& outcome);
/// "step 2 (communicate, a title) was under way", or what was before the first step or behind the last.
std::string under_way(Prepared const& prepared, MachineRun const& run);

/// The result of scenario step `index`, or null when the machine stopped before.
StepOutcome const* outcome_of(Prepared const& prepared, MachineRun const& run, std::size_t index);
/// Of a run that did not reach its end: "while message 2 of 3 was served, a message to Hello", or what was before.
std::string where_it_stopped(Prepared const& prepared, MachineRun const& run);

}  // namespace mm::lab
