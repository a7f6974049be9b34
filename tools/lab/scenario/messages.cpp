// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scenario/messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/abi/guids.hpp"

namespace mm::lab {
namespace {

using nlohmann::json;

std::expected<std::string, std::string> text_of(json const& object, char const* key) {
  auto const at = object.find(key);
  if (at == object.end() || !at->is_string()) {
    return std::unexpected(fmt::format("\"{}\" is missing or not a string", key));
  }
  return at->get<std::string>();
}

std::expected<Message, std::string> parse_message(std::string_view line, std::optional<Guid> const& otherwise) {
  json const object = json::parse(line, nullptr, false);
  if (object.is_discarded() || !object.is_object()) {
    return std::unexpected(std::string{"not a JSON object"});
  }
  for (auto const& [key, value] : object.items()) {
    if (key != "to" && key != "data_hex" && key != "channel") {
      return std::unexpected(fmt::format("unknown key \"{}\"; known are \"to\", \"data_hex\" and \"channel\"", key));
    }
  }
  MM_TRY_ASSIGN(auto const hex, text_of(object, "data_hex"));
  Message message;
  if (otherwise && !object.contains("to")) {
    message.to = *otherwise;
  } else {
    MM_TRY_ASSIGN(auto const to, text_of(object, "to"));
    MM_TRY_ASSIGN(message.to, find_guid(to));
  }
  MM_TRY_ASSIGN(message.data, parse_hex(hex));
  message.channel = default_channel(message.to);
  if (object.contains("channel")) {
    MM_TRY_ASSIGN(auto const channel, text_of(object, "channel"));
    if (channel != "user" && channel != "supervisor") {
      return std::unexpected(std::string{"\"channel\" is neither \"user\" nor \"supervisor\""});
    }
    message.channel = channel == "user" ? abi::Channel::User : abi::Channel::Supervisor;
  }
  MM_TRY(fits(message));
  return message;
}

}  // namespace

abi::Channel default_channel(Guid const& to) {
  return to == guids::gMmSupervisorRequestHandlerGuid ? abi::Channel::Supervisor : abi::Channel::User;
}

std::expected<std::vector<Message>, std::string> parse_messages(std::string_view text, std::string const& file,
                                                                std::optional<Guid> const& otherwise,
                                                                std::size_t most) {
  std::vector<Message> out;
  for (u32 line = 1; !text.empty(); ++line) {
    auto const end = std::min(text.find('\n'), text.size());
    auto one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one.find_first_not_of(" \t\r") == std::string_view::npos) {
      continue;
    }
    auto message = parse_message(one, otherwise);
    if (!message) {
      return std::unexpected(fmt::format("{}:{}: {}", file, line, message.error()));
    }
    if (out.size() == most) {
      return std::unexpected(fmt::format("{}:{}: more than {} messages: split the file", file, line, most));
    }
    out.push_back(std::move(*message));
  }
  if (out.empty()) {
    return std::unexpected(fmt::format("{}:1: no message in it; it takes one JSON object a line", file));
  }
  return out;
}

std::expected<void, std::string> fits(Message const& message) {
  constexpr u64 kMost = steps::kMaxStepBytes - sizeof(abi::CommunicateHeader);
  if (message.data.size() > kMost) {
    return std::unexpected(fmt::format("the message has {} bytes, the buffer takes {}", message.data.size(), kMost));
  }
  return {};
}

std::expected<ScenarioStep, std::string> message_step(Message const& message) {
  MM_TRY(fits(message));
  ScenarioStep step;
  step.kind = "communicate";
  step.title = message_title(message);
  step.header_bytes = sizeof(abi::CommunicateHeader);
  step.program.push_back(call_step(message.channel, message.to, message.data));
  return step;
}

std::string message_title(Message const& message) { return "message to " + guid_name(message.to); }

Bytes message_program(std::span<Message const> messages) {
  Bytes out;
  append_object(out, steps::StepProgramHeader{});
  for (auto const& m : messages) {
    auto const step = call_step(m.channel, m.to, m.data);
    append_object(out, step.head);
    append_bytes(out, step.data);
    pad_to(out, 8);
  }
  steps::StepProgramHeader const head{.count = static_cast<u32>(messages.size()),
                                      .total_bytes = static_cast<u32>(out.size())};
  std::memcpy(out.data(), &head, sizeof head);
  return out;
}

}  // namespace mm::lab
