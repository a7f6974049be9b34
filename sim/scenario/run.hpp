// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <chrono>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/steps/steps.hpp"
#include "hal/roles/trace.hpp"
#include "sim/audit/rules.hpp"
#include "sim/scenario/scenario.hpp"

namespace mm::scenario {

/// An operating system that QEMU's machine boots behind the steps; its console is the terminal of this process.
struct OsBoot {
  std::filesystem::path kernel;  ///< bzImage
  std::filesystem::path initrd;  ///< empty: none
  std::string command_line;
};

/// What QEMU is started with beside the scenario.
struct QemuSettings {
  std::vector<std::string> options;  ///< at the end of the command line
  std::chrono::seconds limit{60};    ///< the emulator is killed after this time; with an operating system it is not
  bool threads = false;              ///< a host thread for each CPU (`thread=multi`)
  std::optional<OsBoot> os;          ///< booted behind the steps
};

/// What a machine is started with: the scenario, compiled.
struct Prepared {
  Scenario scenario;
  Bytes fv;
  Program program;
  Bytes mmi_entry;
  std::filesystem::path images;
  std::optional<std::string> refused;  ///< an image the host refused: its name and why
  std::string refused_image;
  std::vector<std::string> warnings;
  QemuSettings qemu;
  u32 defects = 0;       ///< supervisor::Check bits, simulator only
  bool audit = false;    ///< audit the page tables after every MMI, simulator only
  bool release = false;  ///< the core tells no events: it is judged by results and by where its CPUs are
};

/// Puts the release core in the supervisor's place; before prepare(). Error: a sentence, the scenario brings its own.
std::expected<void, std::string> use_release_core(Scenario& scenario);

/// Bad input (exit code 2): a sentence. A refused image is not an error here.
std::expected<Prepared, std::string> prepare(Scenario scenario, std::filesystem::path const& images);

/// The name of the image with this GUID in the scenario, else that of the GUID.
std::string image_name(Prepared const& prepared, Guid const& guid);

/// One step's result, its frames joined.
struct StepOutcome {
  communication::StepResult head;
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
  std::vector<std::string> stale;  ///< ring 3 was entered with a TLB older than the tables; simulator
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

/// Runs on the simulator / on QEMU. Error: the environment is at fault (exit code 3).
std::expected<MachineRun, std::string> run_on_sim(Prepared const& prepared);
std::expected<MachineRun, std::string> run_on_qemu(Prepared const& prepared);
/// The simulator, or QEMU and the ROM, cannot be used: why.
std::optional<std::string> sim_unavailable();
std::optional<std::string> qemu_unavailable(std::filesystem::path const& images);

/// The frames that the debug console received.
MachineRun parse_console(std::span<std::byte const> console);

/// One expectation that did not hold.
struct Problem {
  std::string text;                 ///< one sentence that says it all
  std::optional<std::size_t> step;  ///< index into Scenario::steps; none: about the whole run
  int line = 0;                     ///< of the expectation in the scenario file; 0: the file does not mention it
  std::string what;                 ///< status, size, halt ...
  std::string expected;
  std::string actual;
};
/// What was not as expected, in order; empty = passed.
std::vector<Problem> check(Prepared const& prepared, MachineRun const& run);

/// The result of the program step with this index; null when it gave none.
StepOutcome const* result_at(MachineRun const& run, std::size_t index);
/// The status that a step gave: of a request to the supervisor that was answered, the one in the answer.
u64 status_of(ScenarioStep const& step, StepOutcome const& outcome);
/// "step 2 (communicate, a title) was under way", or what was before the first step or behind the last.
std::string under_way(Prepared const& prepared, MachineRun const& run);

/// Events in the order in which runs are compared: of each CPU within each MMI.
std::vector<hal::TraceEvent> in_order(std::vector<hal::TraceEvent> const& events);
/// One line an event; `run` names the images of addresses.
std::vector<std::string> render(Prepared const& prepared, MachineRun const& run,
                                std::vector<hal::TraceEvent> const& events);
/// render() of the whole run, in_order().
std::vector<std::string> transcript(Prepared const& prepared, MachineRun const& run);
/// One line a step.
std::vector<std::string> describe_results(Prepared const& prepared, MachineRun const& run);

}  // namespace mm::scenario
