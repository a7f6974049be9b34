// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/abi/comm.hpp"
#include "sim/scenario/driver_report.hpp"
#include "sim/scenario/driver_set.hpp"
#include "sim/scenario/run.hpp"

/// What `mmsim send` is made of: drivers out of files (driver_set.hpp), messages out of a file, and what became of the
/// drivers (driver_report.hpp).
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

/// The result of scenario step `index`, or null when the machine stopped before.
StepOutcome const* outcome_of(Prepared const& prepared, MachineRun const& run, std::size_t index);
/// Of a run that did not reach its end: "while message 2 of 3 was served, a message to Hello", or what was before.
std::string where_it_stopped(Prepared const& prepared, MachineRun const& run);
/// "SUCCESS", "NOT_FOUND", ...; hexadecimal when unknown.
std::string efi_status_name(u64 status);

}  // namespace mm::scenario
