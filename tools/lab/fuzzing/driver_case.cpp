// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/fuzzing/driver_case.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/abi/guids.hpp"
#include "core/abi/syscalls.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/tell/interfaces.hpp"

namespace mm::lab {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::span<std::byte const> bytes_of(std::string const& text) { return std::as_bytes(std::span{text}); }

std::expected<DriverSession, std::string> session_of(json const& j) {
  DriverSession s;
  for (auto const& text : j.at("handlers")) {
    MM_TRY_ASSIGN(auto const guid, parse_guid(text.get<std::string>()));
    s.handlers.push_back(guid);
  }
  if (s.handlers.empty() || s.handlers.size() > 256) {
    return std::unexpected(std::string{"handlers: from 1 to 256"});
  }
  auto const allow = j.at("allow").get<std::vector<std::string>>();
  MM_TRY_ASSIGN(s.allowed, parse_oracles(allow));
  s.most_messages = std::clamp<std::size_t>(j.at("max_messages").get<std::size_t>(), 1, kMostDriverMessages);
  s.most_bytes = std::clamp<std::size_t>(j.at("max_len").get<std::size_t>(), 0, kMostDriverBytes);
  s.known = j.at("known").get<std::vector<std::string>>();
  return s;
}

}  // namespace

std::expected<void, std::string> write_session(fs::path const& folder, DriverSession const& session) {
  json j{{"handlers", json::array()},
         {"allow", json::array()},
         {"max_messages", session.most_messages},
         {"max_len", session.most_bytes},
         {"known", session.known}};
  for (auto const& guid : session.handlers) {
    j["handlers"].push_back(format_guid(guid));
  }
  for (auto const& one : kOracles) {
    if ((session.allowed & bit_of(one.oracle)) != 0) {
      j["allow"].push_back(one.name);
    }
  }
  return replace_file(folder / kSessionFile, bytes_of(j.dump(1) + "\n"));
}

std::expected<DriverSession, std::string> read_session(fs::path const& folder) {
  auto const file = folder / kSessionFile;
  MM_TRY_ASSIGN(auto const bytes, read_file(file));
  auto const text = std::string_view{reinterpret_cast<char const*>(bytes.data()), bytes.size()};
  try {
    auto session = session_of(json::parse(text));
    return session ? session : std::unexpected(fmt::format("{}: {}", file.string(), session.error()));
  } catch (json::exception const& e) {
    return std::unexpected(fmt::format("{}: not a session of `mmsim fuzz driver`: {}", file.string(), e.what()));
  }
}

Guid const& recipient(DriverMessage const& message, DriverSession const& session) {
  return session.handlers[message.handler % session.handlers.size()];
}

ScenarioStep driver_step(DriverMessage const& message, DriverSession const& session, std::size_t number) {
  ScenarioStep step;
  step.kind = "communicate";
  step.title = fmt::format("message {}, {} bytes", number, message.data.size());
  step.header_bytes = sizeof(abi::CommunicateHeader);
  step.program.push_back(communicate_step(abi::Channel::User, recipient(message, session), message.data));
  return step;
}

std::expected<Prepared, std::string> prepare_case(fs::path const& folder, fs::path const& images,
                                                  DriverSession const& session,
                                                  std::span<DriverMessage const> messages) {
  MM_TRY_ASSIGN(auto scenario, load_scenario(folder / kCaseFile, images));
  for (auto const& message : messages) {
    scenario.steps.push_back(driver_step(message, session, scenario.steps.size() + 1));
  }
  MM_TRY_ASSIGN(auto prepared, prepare(std::move(scenario), images));
  if (prepared.refused) {
    return std::unexpected(*prepared.refused);
  }
  return prepared;
}

std::vector<Guid> registered_handlers(std::span<hal::TraceEvent const> trace) {
  std::vector<Guid> out;
  for (auto const& handler : mmi_handlers(trace)) {
    if (!handler.type.is_zero() && std::ranges::find(out, handler.type) == out.end()) {
      out.push_back(handler.type);
    }
  }
  return out;
}

std::vector<std::pair<Guid, std::string>> image_names(Prepared const& prepared) {
  std::vector<std::pair<Guid, std::string>> out;
  for (auto const& image : prepared.scenario.images) {
    out.emplace_back(image.guid, image.name);
  }
  return out;
}

}  // namespace mm::lab
