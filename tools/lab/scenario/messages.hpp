// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/abi/comm.hpp"
#include "tools/lab/scenario/scenario.hpp"

/// Messages out of a file, one JSON object a line, and the step that sends one.
namespace mm::lab {

/// One communicate message.
struct Message {
  Guid to;
  Bytes data;
  abi::Channel channel = abi::Channel::User;
};

/// More messages than this are refused, so that no file of them takes more memory than README.md states.
inline constexpr std::size_t kMostMessages = 4'000'000;
/// One JSON object a line: {"to": GUID or known name, "data_hex": "..", "channel": "user"}; empty lines are passed
/// over. A line without "to" goes to `otherwise`, when there is one. Error: "file:line: what".
std::expected<std::vector<Message>, std::string> parse_messages(std::string_view text, std::string const& file,
                                                                std::optional<Guid> const& otherwise = {},
                                                                std::size_t most = kMostMessages);
/// The channel of a message that names none: the supervisor's for its own requests, else the user channel.
abi::Channel default_channel(Guid const& to);
/// Error: it does not fit into the buffer.
std::expected<void, std::string> fits(Message const& message);
/// A step that sends `message`. Error: it does not fit into the buffer.
std::expected<ScenarioStep, std::string> message_step(Message const& message);
/// "message to Hello"
std::string message_title(Message const& message);
/// A step program that sends each of `messages`; step n is message n. At most steps::kMaxSteps.
Bytes message_program(std::span<Message const> messages);

}  // namespace mm::lab
