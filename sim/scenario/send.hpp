// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/abi/comm.hpp"
#include "sim/scenario/run.hpp"
#include "sim/scenario/volume_listing.hpp"

/// What `mmsim send` is made of: drivers out of files, messages out of a file, and what became of the drivers.
namespace mm::scenario {

/// One communicate message.
struct Message {
  Guid to;
  Bytes data;
  abi::Channel channel = abi::Channel::User;
};

/// One JSON object a line: {"to": GUID or known name, "data_hex": "..", "channel": "user"}; empty lines are passed
/// over. A line without "to" goes to `otherwise`, when there is one. Error: "file:line: what".
std::expected<std::vector<Message>, std::string> parse_messages(std::string_view text, std::string const& file,
                                                                std::optional<Guid> const& otherwise = {});
/// The channel of a message that names none: the supervisor's for its own requests, else the user channel.
abi::Channel default_channel(Guid const& to);
/// A step that sends `message`. Error: it does not fit into the buffer.
std::expected<ScenarioStep, std::string> message_step(Message const& message);

/// What became of one driver, or why it was not run.
struct DriverReport {
  std::string name;
  Guid guid;
  std::string
      state;  ///< "started", "error", "faulted", "waiting", "refused", "not run", "replaced by ours", "not loaded"
  std::string detail;         ///< status, fault, missing GUIDs, reason
  u32 order = 0;              ///< place in the dispatch order from 1; 0: its entry point was not called
  std::vector<Guid> needs{};  ///< of a waiting driver: protocols that are missing, or the file it names
};

/// Drivers to be run, and those that are not.
struct DriverSet {
  std::vector<ImageSpec> images;
  std::vector<DriverReport> not_run;
};

/// Adds FILE.efi or FILE.efi:FILE.depex. The file's GUID is in FILE.guid beside it, else made from its name. Error: a
/// sentence; the image cannot be read, or is refused.
std::expected<void, std::string> add_image(DriverSet& set, std::string const& argument);
/// Adds the standalone MM drivers of a volume in its order; the others go to `not_run`, so do drivers that are refused.
void add_volume(DriverSet& set, Listing const& listing);

/// What the drivers of `prepared` did, in their order.
std::vector<DriverReport> report_drivers(Prepared const& prepared, MachineRun const& run);

/// The dispatch order, and each driver that was not dispatched with what it waits for: one line each.
std::vector<std::string> describe_dispatch(std::vector<DriverReport> const& reports);

/// The result of scenario step `index`, or null when the machine stopped before.
StepOutcome const* outcome_of(Prepared const& prepared, MachineRun const& run, std::size_t index);
/// "SUCCESS", "NOT_FOUND", ...; hexadecimal when unknown.
std::string efi_status_name(u64 status);

}  // namespace mm::scenario
