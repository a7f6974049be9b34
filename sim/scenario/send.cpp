// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/scenario/send.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/abi/guids.hpp"
#include "core/image/fv.hpp"
#include "sim/scenario/depex_file.hpp"
#include "sim/scenario/precheck.hpp"

namespace mm::scenario {
namespace {

namespace fs = std::filesystem;
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
  MM_TRY(message_step(message));
  return message;
}

/// Why the host refuses an image, nothing when it does not.
std::optional<std::string> refusal(std::span<std::byte const> image) {
  auto const listed = describe_image(image);
  if (!listed.loadable) {
    return "malformed image: " + listed.problem;
  }
  auto const found = check_image(image);
  if (!found) {
    return found.error();
  }
  if (found->rsm_at_boundary) {
    return fmt::format("RSM instruction at image offset {}", hex_number(*found->rsm_at_boundary));
  }
  return std::nullopt;
}

std::string display_name(ListedFile const& f) { return f.ui.empty() ? format_guid(f.name) : f.ui; }

}  // namespace

std::string efi_status_name(u64 status) {
  auto const name = status_name(status);
  std::string out;
  for (char const c : name) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0 && !out.empty()) {
      out.push_back('_');
    }
    out.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return out.empty() ? hex_number(status) : out;
}

abi::Channel default_channel(Guid const& to) {
  return to == guids::gMmSupervisorRequestHandlerGuid ? abi::Channel::Supervisor : abi::Channel::User;
}

std::expected<std::vector<Message>, std::string> parse_messages(std::string_view text, std::string const& file,
                                                                std::optional<Guid> const& otherwise) {
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
    out.push_back(std::move(*message));
  }
  return out;
}

std::expected<ScenarioStep, std::string> message_step(Message const& message) {
  ScenarioStep step;
  step.kind = "communicate";
  step.title = "message to " + guid_name(message.to);
  step.header_bytes = sizeof(abi::CommunicateHeader);
  step.program.push_back(call_step(message.channel, message.to, message.data));
  if (step.program[0].data.size() > communication::kMaxStepBytes) {
    return std::unexpected(fmt::format("the message has {} bytes, the buffer takes {}", message.data.size(),
                                       communication::kMaxStepBytes - sizeof(abi::CommunicateHeader)));
  }
  return step;
}

std::expected<void, std::string> add_image(DriverSet& set, std::string const& argument) {
  auto const colon = argument.rfind(':');
  bool const split = colon != std::string::npos && !fs::exists(argument);
  ImageSpec image;
  image.file = split ? argument.substr(0, colon) : argument;
  image.name = image.file.stem().string();
  MM_TRY_ASSIGN(image.content, read_file(image.file));
  if (split) {
    MM_TRY_ASSIGN(image.depex_content, read_depex_file(argument.substr(colon + 1)));
  }
  image.guid = guid_of_image(image.file, image.name);
  if (auto const listing = list_images(*image.content); listing && !listing->image) {
    return std::unexpected(
        fmt::format("{}: a {} and not an image: give it with --fv", image.file.string(), listing->kind));
  }
  if (auto const why = refusal(*image.content)) {
    return std::unexpected(fmt::format("{}: refused: {}", image.file.string(), *why));
  }
  set.images.push_back(std::move(image));
  return {};
}

void add_volume(DriverSet& set, Listing const& listing) {
  for_each_file(listing.volumes, [&set](ListedFile const& f) {
    if (!f.volumes.empty()) {
      return;  // only a container
    }
    bool const core = f.type == image::file_type::kMmCoreStandalone;
    bool const part = f.name == guids::gMmSupervisorRing3BrokerGuid || f.name == guids::gMmSupervisorCoreGuid ||
                      f.name == guids::gMmSupervisorUserGuid || f.name == guids::gMmSupervisorInitGuid;
    DriverReport report{display_name(f), f.name, {}, file_type_name(f.type)};
    bool const again = std::ranges::find(set.images, f.name, &ImageSpec::guid) != set.images.end();
    if (core || part) {
      report.state = "replaced by ours";
    } else if (again && f.type == image::file_type::kMmStandalone) {
      report.state = "not run";
      report.detail = "(a second copy of this file)";
    } else if (f.type != image::file_type::kMmStandalone) {
      report.state = "not run";
      report.detail = f.apriori.empty() ? report.detail : "(a-priori list, not honoured)";
    } else if (!f.image || f.pe.empty()) {
      report.state = "refused";
      report.detail = f.problems.empty() ? "no PE32 section" : f.problems.front();
    } else if (auto const why = refusal(f.pe)) {
      report.state = "refused";
      report.detail = *why;
    } else {
      ImageSpec image;
      image.name = report.name;
      image.guid = f.name;
      image.file = report.name;
      image.content = Bytes{f.pe.begin(), f.pe.end()};
      if (f.depex) {
        image.depex_content = Bytes{f.depex->begin(), f.depex->end()};
      }
      set.images.push_back(std::move(image));
      return;
    }
    set.not_run.push_back(std::move(report));
  });
}

StepOutcome const* outcome_of(Prepared const& p, MachineRun const& run, std::size_t index) {
  auto const wanted = static_cast<u32>(p.program.last_of_step.at(index));
  auto const at = std::ranges::find(run.results, wanted, [](StepOutcome const& r) { return r.head.index; });
  return at == run.results.end() ? nullptr : &*at;
}

}  // namespace mm::scenario
