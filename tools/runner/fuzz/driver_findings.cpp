// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/fuzz/driver_findings.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/lab/run/backend.hpp"
#include "tools/lab/text/program_name.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string message_text(lab::DriverMessage const& message, lab::DriverSession const& session) {
  constexpr std::size_t kShown = 24;
  auto const hex = lab::format_hex(message.data, kShown);
  return fmt::format("to {}, {} byte{}{}{}", lab::guid_name(lab::recipient(message, session)), message.data.size(),
                     message.data.size() == 1 ? "" : "s", hex.empty() ? "" : ": ", hex);
}

/// What a machine makes of the messages, as one word or a sentence.
std::string replay(lab::Backend const& backend, lab::Prepared const& prepared, lab::DriverSession const& session,
                   std::size_t messages, std::string const& key, std::optional<lab::RunFinding>& found) {
  if (auto const why = backend.unavailable(prepared.images)) {
    return "not here: " + *why;
  }
  auto const run = backend.run(prepared);
  if (!run) {
    return "not replayed: " + run.error();
  }
  found = lab::finding_of(prepared, *run, messages, session.allowed);
  if (!found) {
    return "does not show it";
  }
  return found->finding.key() == key ? "shows it" : "shows another: " + found->finding.key();
}

}  // namespace

std::optional<FuzzerSaid> parse_finding(std::string_view line) {
  constexpr std::string_view kWord = "mm-finding: ";
  if (!line.starts_with(kWord)) {
    return std::nullopt;
  }
  auto const j = json::parse(line.substr(kWord.size()), nullptr, false);
  if (!j.is_object()) {
    return std::nullopt;
  }
  return FuzzerSaid{j.value("key", ""),      j.value("what", ""),  j.value("file", ""),
                    j.value("messages", 0u), j.value("bytes", 0u), j.value("tries", 0u)};
}

std::expected<ToldFinding, std::string> tell_finding(fs::path const& folder, FuzzerSaid const& said, bool no_qemu) {
  MM_TRY_ASSIGN(auto const session, lab::read_session(folder));
  MM_TRY_ASSIGN(auto const input, lab::read_file(said.input));
  auto const messages = lab::split_messages(input, session.most_messages, session.most_bytes);
  MM_TRY_ASSIGN(auto const prepared, lab::prepare_case(folder, images_folder(), session, messages));
  ToldFinding told;
  for (auto const& message : messages) {
    told.messages.push_back(message_text(message, session));
  }
  told.guilty = messages.size();
  told.finding.what = said.what;
  std::optional<lab::RunFinding> found;
  told.sim = replay(lab::simulator(), prepared, session, messages.size(), said.key, found);
  if (found) {
    told.finding = found->finding;
    told.guilty = found->message + 1;
  }
  bool const hangs = told.finding.oracle == lab::Oracle::Budget;
  told.qemu = no_qemu                                              ? "not asked for"
              : hangs                                              ? "not run: it would not come back"
              : !lab::is_for(prepared.scenario, lab::Target::Qemu) ? "not run: the machine is one for the simulator"
                                                                   : "";
  if (told.qemu.empty()) {
    std::optional<lab::RunFinding> there;
    told.qemu = replay(lab::qemu(), prepared, session, messages.size(), said.key, there);
  }
  told.place = found ? lab::place_text(prepared, told.finding) : said.key;
  auto const frames = found ? lab::place_frames(prepared, told.finding) : std::vector<lab::CodeFrame>{};
  told.code = frames.empty() ? lab::CodeFrame{} : frames.front();
  told.made_smaller = fmt::format("{} message{} and {} bytes became {} and {}, in {} runs", said.messages,
                                  said.messages == 1 ? "" : "s", said.bytes, messages.size(), input.size(), said.tries);
  told.input = folder / ("driver-" + said.key);
  MM_TRY(lab::replace_file(told.input, input));
  MM_TRY_ASSIGN(auto const machine, lab::read_file(folder / lab::kCaseFile));
  auto const toml = found ? lab::finding_toml({reinterpret_cast<char const*>(machine.data()), machine.size()}, prepared,
                                              session, told.finding, std::span{messages}.first(told.guilty))
                          : std::nullopt;
  if (toml) {
    told.scenario = folder / (said.key + ".toml");
    MM_TRY(lab::replace_file(*told.scenario, std::as_bytes(std::span{*toml})));
  }
  return told;
}

std::string finding_text(ToldFinding const& told, std::size_t number) {
  std::string out = fmt::format("finding {}: {} in {}\n  {}\n", number, lab::oracle_name(told.finding.oracle),
                                told.place, told.finding.what);
  constexpr std::size_t kMostMessages = 3;
  std::size_t const first = told.messages.size() > kMostMessages ? told.messages.size() - kMostMessages : 0;
  for (std::size_t i = first; i < told.messages.size(); ++i) {
    out += fmt::format("  message {} of {}{} {}\n", i + 1, told.messages.size(),
                       i + 1 == told.guilty ? ", in which it is," : "", told.messages[i]);
  }
  out += fmt::format("  made smaller: {}\n  replayed: the simulator {}; QEMU {}\n", told.made_smaller, told.sim,
                     told.qemu);
  if (told.scenario) {
    out += fmt::format("  {} run {} --target=both\n", lab::program_name(), told.scenario->string());
  }
  return out + fmt::format("  {} repro {}\n", lab::program_name(), told.input.string());
}

json finding_json(ToldFinding const& told) {
  return {{"oracle", lab::oracle_name(told.finding.oracle)},
          {"key", told.finding.key()},
          {"image", told.finding.image},
          {"offset", told.finding.offset},
          {"place", told.place},
          {"function", told.code.function},
          {"file", told.code.file},
          {"line", told.code.line},
          {"what", told.finding.what},
          {"messages", told.messages},
          {"message", told.guilty},
          {"sim", told.sim},
          {"qemu", told.qemu},
          {"scenario", told.scenario ? json(told.scenario->string()) : json(nullptr)},
          {"input", told.input.string()}};
}

}  // namespace mm::runner
