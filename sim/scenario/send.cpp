// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/scenario/send.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/abi/guids.hpp"
#include "core/image/fv.hpp"
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

std::expected<Message, std::string> parse_message(std::string_view line) {
  json const object = json::parse(line, nullptr, false);
  if (object.is_discarded() || !object.is_object()) {
    return std::unexpected(std::string{"not a JSON object"});
  }
  for (auto const& [key, value] : object.items()) {
    if (key != "to" && key != "data_hex" && key != "channel") {
      return std::unexpected(fmt::format("unknown key \"{}\"; known are \"to\", \"data_hex\" and \"channel\"", key));
    }
  }
  MM_TRY_ASSIGN(auto const to, text_of(object, "to"));
  MM_TRY_ASSIGN(auto const hex, text_of(object, "data_hex"));
  MM_TRY_ASSIGN(Guid const guid, find_guid(to));
  MM_TRY_ASSIGN(auto data, parse_hex(hex));
  Message message{guid, std::move(data), default_channel(guid)};
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

/// Follows one driver through the trace.
struct DriverTrack {
  Range image;
  bool loaded = false, running = false;
  DriverReport report;

  void fault(hal::TraceEvent const& e) {
    report.state = "faulted";
    report.detail = fmt::format("{}: vector {}, error {}, at image offset {}, address {}",
                                running ? "in its entry point" : "in a handler", e.a, hex_number(e.b),
                                hex_number(e.c - image.base), hex_number(e.d));
  }
  void note(hal::TraceEvent const& e, ImageSpec const& spec) {
    switch (static_cast<abi::UserNote>(e.a)) {
      case abi::UserNote::DriverEntered:
        running = true;
        report.state = "running";
        report.detail = "its entry point did not return";
        break;
      case abi::UserNote::DriverReturned:
        running = false;
        report.state = e.c == 0 ? "started" : "error";
        report.detail = e.c == 0 ? "" : efi_status_name(e.c);
        break;
      case abi::UserNote::DriverWaiting:
        report.state = "waiting";
        report.detail = waiting_for(spec);
        break;
      case abi::UserNote::DriverContained:
        report.detail = report.state == "faulted" ? report.detail : "removed after a fault";
        report.state = "faulted";
        running = false;
        break;
      default:
        break;
    }
  }
  static std::string waiting_for(ImageSpec const& spec) {
    Bytes depex = spec.depex_content.value_or(Bytes{});
    std::string needs;
    for (auto const& guid : depex_needs(depex)) {
      needs += (needs.empty() ? "" : ", ") + protocol_name(guid);
    }
    std::string words;
    for (auto const& word : depex_words(depex)) {
      words += (words.empty() ? "" : ", ") + word;
    }
    return fmt::format("for {} (depex: {})", needs.empty() ? "nothing that can come" : needs, words);
  }
};

void load(DriverTrack& d, ImageSpec const& spec, std::vector<hal::TraceEvent> const& trace, std::vector<bool>& used) {
  for (std::size_t i = 0; i < trace.size() && !d.loaded; ++i) {
    auto const& e = trace[i];
    bool const about = e.kind == hal::TraceKind::ImageLoaded || e.kind == hal::TraceKind::ImageRefused;
    u64 const words[2] = {e.c, e.d};
    if (!about || used[i] || std::memcmp(words, &spec.guid, sizeof words) != 0) {
      continue;
    }
    used[i] = true;
    if (e.kind == hal::TraceKind::ImageRefused) {
      d.report.state = "refused";
      d.report.detail = "by the loader: " + efi_status_name(e.b);
      return;
    }
    d.loaded = true;
    d.image = Range{e.a, e.b};
    d.report.state = "not dispatched";
  }
}

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

std::expected<std::vector<Message>, std::string> parse_messages(std::string_view text, std::string const& file) {
  std::vector<Message> out;
  for (u32 line = 1; !text.empty(); ++line) {
    auto const end = std::min(text.find('\n'), text.size());
    auto one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one.find_first_not_of(" \t\r") == std::string_view::npos) {
      continue;
    }
    auto message = parse_message(one);
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
    MM_TRY_ASSIGN(image.depex_content, read_file(argument.substr(colon + 1)));
  }
  image.guid = guid_of_image(image.file, image.name);
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
    if (core || part) {
      report.state = "replaced by ours";
    } else if (f.type != image::file_type::kMmStandalone) {
      report.state = "not run";
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

std::vector<DriverReport> report_drivers(Prepared const& p, MachineRun const& run) {
  std::vector<DriverTrack> drivers;
  std::vector<bool> used(run.trace.size());
  for (auto const& spec : p.scenario.images) {
    auto& d = drivers.emplace_back();
    d.report = {spec.name, spec.guid, "not loaded", {}};
    load(d, spec, run.trace, used);
  }
  for (auto const& e : run.trace) {
    for (std::size_t i = 0; i < drivers.size(); ++i) {
      auto& d = drivers[i];
      if (!d.loaded) {
        continue;
      }
      if (e.kind == hal::TraceKind::UserNote && e.b == d.image.base) {
        d.note(e, p.scenario.images[i]);
      } else if (e.kind == hal::TraceKind::Fault && (d.running || d.image.contains({e.c, 1}))) {
        d.fault(e);
      }
    }
  }
  std::vector<DriverReport> out;
  for (auto& d : drivers) {
    out.push_back(std::move(d.report));
  }
  return out;
}

StepOutcome const* outcome_of(Prepared const& p, MachineRun const& run, std::size_t index) {
  auto const wanted = static_cast<u32>(p.program.last_of_step.at(index));
  auto const at = std::ranges::find(run.results, wanted, [](StepOutcome const& r) { return r.head.index; });
  return at == run.results.end() ? nullptr : &*at;
}

}  // namespace mm::scenario
