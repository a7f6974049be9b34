// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <chrono>
#include <expected>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "sim/machine/machine.hpp"
#include "tools/lab/run/prepare.hpp"

/// What the measurements of `mmsim bench` share: a machine on the simulator, and messages to it.
namespace mm::runner::bench {

/// Time that this process has used of a CPU: what else runs on the host changes it little.
struct CpuClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<CpuClock>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept;
};
using Clock = CpuClock;
/// Error: a sentence.
template <typename T>
using Result = std::expected<T, std::string>;

/// So often is each measurement repeated.
inline constexpr u32 kRepeats = 5;

/// CPU time.
double seconds_since(Clock::time_point start);
double median(std::vector<double> values);

/// A scenario with one driver. `machine` is the text of its [machine].
Result<lab::Scenario> scenario_with(char const* driver, char const* machine, std::filesystem::path const& images);

/// The same, with a supervisor image, compiled.
Result<lab::Prepared> machine_with(char const* driver, std::filesystem::path const& images, char const* supervisor);

/// The configuration of `p` without a trace.
sim::MachineConfig config_of(lab::Prepared const& p);
/// Made and booted; no driver has been started.
Result<std::unique_ptr<sim::Simulator>> boot(lab::Prepared const& p, sim::MachineConfig const& config);

/// What one message to the user channel came back with; without its header.
struct Reply {
  u64 status = 0;
  lab::Bytes message;
};
/// What the normal world puts into the user buffer.
lab::Bytes request_of(Guid const& to, lab::Bytes const& message);
Reply send(sim::Simulator& machine, lab::Bytes const& request);

/// A message of kMessageBytes letters to a driver that answers like Hello, and the reply to it.
struct Exchange {
  lab::Bytes request;
  lab::Bytes reply;
};
inline constexpr u64 kMessageBytes = 64;
Exchange exchange(char const* driver = "Hello");

}  // namespace mm::runner::bench
