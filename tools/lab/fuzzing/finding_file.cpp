// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/fuzzing/finding_file.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/supervisor/types.hpp"
#include "tools/lab/scenario/names.hpp"

namespace mm::lab {
namespace {

std::string events_toml(DriverFinding const& finding) {
  std::string out;
  for (auto const& owed : finding.owed) {
    out += fmt::format("{}  {{ kind = \"{}\"", out.empty() ? "" : ",\n", event_name(owed.kind));
    for (auto const& [field, value] : owed.fields) {
      out += fmt::format(", {} = \"{}\"", field, hex_number(value));
    }
    out += " }";
  }
  return out;
}

std::string_view halt_of(Oracle oracle) {
  switch (oracle) {
    case Oracle::Budget:
      return "UserBudget";
    case Oracle::RefusedCall:
      return "SyscallRefused";
    case Oracle::Fault:
    case Oracle::PoolOverflow:
    case Oracle::UseAfterFree:
    case Oracle::InvalidFree:
    case Oracle::MessageBounds:
    case Oracle::UnwrittenReply:
    case Oracle::ReplySize:
    case Oracle::ReplyStatus:
    case Oracle::Repeatability:
      break;
  }
  return "UserFault";
}

/// With the finding's own name.
std::string renamed(std::string const& toml, std::string const& name) {
  auto const at = toml.starts_with("name = ") ? 0 : toml.find("\nname = ");
  auto const line = fmt::format("name = \"{}\"\n", name);
  if (at == std::string::npos) {
    return line + toml;
  }
  auto const begin = at == 0 ? at : at + 1;
  auto const end = toml.find('\n', begin);
  return toml.substr(0, begin) + line + (end == std::string::npos ? "" : toml.substr(end + 1));
}

}  // namespace

std::string messages_toml(std::string const& machine_toml, std::string const& name, DriverSession const& session,
                          std::span<DriverMessage const> messages, std::string const& rest) {
  auto out = renamed(machine_toml, name);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    out += fmt::format("\n[[step]]\nkind = \"communicate\"\ntitle = \"message {} of {}\"\nto = \"{}\"\n", i + 1,
                       messages.size(), format_guid(recipient(messages[i], session)));
    out += messages[i].data.empty() ? std::string{} : fmt::format("hex = \"{}\"\n", hex_digits(messages[i].data));
  }
  return out + rest;
}

std::optional<std::string> finding_toml(std::string const& machine_toml, Prepared const& prepared,
                                        DriverSession const& session, DriverFinding const& finding,
                                        std::span<DriverMessage const> messages) {
  if (finding.owed.empty() || messages.empty()) {
    return std::nullopt;
  }
  bool const contains = prepared.scenario.boot.fault_policy == static_cast<u32>(abi::FaultPolicy::Contain);
  std::string out =
      fmt::format("# {}: {}\n# It passes while the defect is there.\n", place_text(prepared, finding), finding.what);
  if (finding.oracle == Oracle::Budget && prepared.scenario.machines.targets.empty()) {
    out += "targets = [\"sim\"]  # a driver that does not come back hangs QEMU, as it would hang a board\n";
  }
  std::string rest = finding.aborted && contains ? "expect = { status = \"Aborted\" }\n" : "";
  rest += fmt::format("\n[expect]\nevents = [\n{},\n]\n", events_toml(finding));
  if (finding.aborted && !contains) {
    rest += fmt::format("halted = \"{}\"\n", halt_of(finding.oracle));
  }
  return out + messages_toml(machine_toml, finding.key(), session, messages, rest);
}

std::optional<RunFinding> finding_of(Prepared const& prepared, MachineRun const& run, std::size_t messages,
                                     OracleSet allowed) {
  auto const& boot = prepared.scenario.boot;
  auto const machine =
      judged_machine(run.trace, {boot.ram_bytes - boot.tseg_bytes, boot.tseg_bytes}, image_names(prepared));
  std::size_t const steps = prepared.scenario.steps.size();
  for (std::size_t i = 0; i < messages && messages <= steps; ++i) {
    std::size_t const step = steps - messages + i;
    std::size_t const index = prepared.program.last_of_step[step];
    auto const* const before = index == 0 ? nullptr : result_at(run, index - 1);
    auto const* const after = result_at(run, index);
    std::size_t const from = before != nullptr ? before->events : 0;
    std::size_t const to = after != nullptr ? after->events : run.trace.size();
    if (index != 0 && before == nullptr) {
      return std::nullopt;  // the machine stopped before
    }
    if (auto found = judge(machine, std::span{run.trace}.subspan(from, to - from), allowed)) {
      return RunFinding{std::move(*found), i};
    }
  }
  return std::nullopt;
}

std::vector<CodeFrame> place_frames(Prepared const& prepared, DriverFinding const& finding) {
  auto const image = std::ranges::find(prepared.scenario.images, finding.image_guid, &ImageSpec::guid);
  return finding.image.empty() || image == prepared.scenario.images.end()
             ? std::vector<CodeFrame>{}
             : symbolizer().frames({image->file, nullptr}, finding.offset);
}

std::string place_text(Prepared const& prepared, DriverFinding const& finding) {
  if (finding.image.empty()) {
    return finding.offset == 0 ? "no image" : "no image, at " + hex_number(finding.offset);
  }
  auto const at = fmt::format("{}+{:#x}", finding.image, finding.offset);
  auto const names = frames_text(place_frames(prepared, finding), finding.offset);
  return names.empty() ? at : fmt::format("{} ({})", at, names);
}

}  // namespace mm::lab
