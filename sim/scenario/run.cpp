// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/scenario/run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/abi/guids.hpp"
#include "core/communication/communicator.hpp"
#include "core/image/fv.hpp"
#include "sim/scenario/depex_file.hpp"
#include "sim/scenario/fv_writer.hpp"
#include "sim/scenario/names.hpp"
#include "sim/scenario/precheck.hpp"

namespace mm::scenario {
namespace {

std::expected<void, std::string> add_core(std::vector<FvFileSpec>& files, std::filesystem::path const& images,
                                          std::string const& name, Guid const& guid) {
  auto bytes = read_file(images / (name + ".efi"));
  if (!bytes) {
    return std::unexpected(bytes.error());
  }
  files.push_back({.name = guid, .type = 0x0F, .depex = {}, .pe32 = std::move(*bytes), .raw = {}, .ui = name});
  return {};
}

/// Looks into one image; what it finds goes into `p`. The error is about a malformed header.
std::expected<void, std::string> precheck(Prepared& p, std::string const& name, std::span<std::byte const> bytes) {
  auto const found = check_image(bytes);
  if (!found) {
    return std::unexpected(found.error());
  }
  if (found->rsm_at_boundary && !p.refused) {
    p.refused_image = name;
    p.refused = fmt::format("image '{}' refused: RSM instruction at image offset {}", name,
                            hex_number(*found->rsm_at_boundary));
  }
  if (found->rsm_inside != 0) {
    p.warnings.push_back(
        fmt::format("image '{}': the bytes of RSM inside {} other instruction(s)", name, found->rsm_inside));
  }
  return {};
}

/// A whole volume: its structure, and each driver whose PE32 section is not inside another section.
std::expected<void, std::string> precheck_volume(Prepared& p, std::span<std::byte const> bytes) {
  auto const malformed = [](image::FvError const& e) {
    return std::unexpected(
        fmt::format("malformed firmware volume: {} (at byte {:#x})", problem_text(e.problem), e.offset));
  };
  auto const volume = image::FirmwareVolume::parse(bytes);
  if (!volume) {
    return malformed(volume.error());
  }
  auto files = volume->files();
  for (auto file = files.next();; file = files.next()) {
    if (!file) {
      return malformed(file.error());
    }
    if (!*file) {
      return {};
    }
    if ((*file)->type != image::file_type::kMmStandalone) {
      continue;
    }
    auto const section = image::find_section((*file)->body, image::section_type::kPe32);
    if (!section) {
      return malformed(section.error());
    }
    auto const name = guid_name((*file)->name);
    if (*section) {
      if (auto done = precheck(p, name, (*section)->body); !done) {
        return std::unexpected(fmt::format("file {}: {}", name, done.error()));
      }
    }
  }
}

std::expected<void, std::string> add_driver(Prepared& p, std::vector<FvFileSpec>& files, ImageSpec const& image) {
  std::expected<Bytes, std::string> bytes = image.content ? *image.content : read_file(image.file);
  if (!bytes) {
    return std::unexpected(bytes.error());
  }
  if (auto done = precheck(p, image.name, *bytes); !done) {
    return std::unexpected(fmt::format("{}: {}", image.file.string(), done.error()));
  }
  FvFileSpec file{
      .name = image.guid, .type = 0x0E, .depex = {}, .pe32 = std::move(*bytes), .raw = {}, .ui = image.name};
  if (image.depex_content) {
    file.depex = *image.depex_content;
  } else if (image.depex) {
    auto depex = read_depex_file(*image.depex);
    if (!depex) {
      return std::unexpected(depex.error());
    }
    file.depex = std::move(*depex);
  }
  files.push_back(std::move(file));
  return {};
}

}  // namespace

std::expected<void, std::string> use_release_core(Scenario& scenario) {
  if (std::ranges::any_of(scenario.images, [](ImageSpec const& i) { return i.fv.has_value(); })) {
    return std::unexpected(std::string{"`fv` boots a volume with a core of its own; --release has no say there"});
  }
  if (!scenario.release) {
    return std::unexpected(std::string{"not for the release core"});
  }
  scenario.supervisor = "MmSupervisorCoreRelease";
  return {};
}

std::string image_name(Prepared const& prepared, Guid const& guid) {
  auto const& images = prepared.scenario.images;
  auto const image = std::ranges::find(images, guid, &ImageSpec::guid);
  return image == images.end() ? guid_name(guid) : image->name;
}

std::expected<Prepared, std::string> prepare(Scenario scenario, std::filesystem::path const& images) {
  Prepared p;
  p.scenario = std::move(scenario);
  p.warnings = p.scenario.warnings;
  p.images = images;
  std::vector<FvFileSpec> files;
  for (auto const& [name, guid] : {std::pair{p.scenario.supervisor, guids::gMmSupervisorCoreGuid},
                                   std::pair{std::string{"MmUserCore"}, guids::gMmSupervisorUserGuid}}) {
    if (auto done = add_core(files, images, name, guid); !done) {
      return std::unexpected(done.error());
    }
  }
  if (!p.scenario.policy.empty()) {
    files.push_back({.name = guids::gMmSupervisorPolicyFileGuid,
                     .type = 0x02,
                     .depex = {},
                     .pe32 = {},
                     .raw = p.scenario.policy,
                     .ui = {}});
  }
  for (auto const& image : p.scenario.images) {
    if (image.fv) {
      auto fv = read_file(*image.fv);
      if (!fv) {
        return std::unexpected(fv.error());
      }
      if (auto done = precheck_volume(p, *fv); !done) {
        return std::unexpected(fmt::format("{}: {}", image.fv->string(), done.error()));
      }
      p.fv = std::move(*fv);
      continue;
    }
    if (auto done = add_driver(p, files, image); !done) {
      return std::unexpected(done.error());
    }
  }
  if (p.fv.empty()) {
    auto fv = write_fv(files);
    if (!fv) {
      return std::unexpected(fv.error());
    }
    p.fv = std::move(*fv);
  }
  if (p.fv.size() > platform::kFvLimit) {
    return std::unexpected(fmt::format("{}: the images need {} bytes, the platform has {}", p.scenario.file.string(),
                                       p.fv.size(), platform::kFvLimit));
  }
  auto entry = read_file(images / "MmiEntry.bin");
  if (!entry) {
    return std::unexpected(entry.error());
  }
  p.mmi_entry = std::move(*entry);
  p.program = encode_program(p.scenario);
  if (p.program.bytes.size() > platform::kStepProgramLimit) {
    return std::unexpected(fmt::format("{}: the steps need {} bytes, the platform has {}: split them into several runs",
                                       p.scenario.file.string(), p.program.bytes.size(), platform::kStepProgramLimit));
  }
  p.defects = p.scenario.defects;
  p.audit = p.scenario.expect.audit;
  p.scenario.boot.fv_bytes = p.fv.size();
  p.scenario.boot.hobs_bytes = p.scenario.hobs.size();
  p.scenario.boot.steps_bytes = p.program.bytes.size();
  return p;
}

StepOutcome const* result_at(MachineRun const& run, std::size_t index) {
  // The results come in the order of the steps.
  auto const index_of = [](StepOutcome const& r) { return r.head.index; };
  auto const at = std::ranges::lower_bound(run.results, static_cast<u32>(index), {}, index_of);
  return at == run.results.end() || index_of(*at) != index ? nullptr : &*at;
}

u64 status_of(ScenarioStep const& step, StepOutcome const& outcome) {
  auto const at = step.header_bytes + step.answer_at.value_or(0);
  bool const answered = step.answer_at && outcome.head.status == 0 && outcome.data.size() >= at + sizeof(u64);
  return answered ? load_int(outcome.data, at, sizeof(u64)) : outcome.head.status;
}

std::string under_way(Prepared const& p, MachineRun const& run) {
  auto const& steps = p.scenario.steps;
  std::size_t answered = 0;
  while (answered < steps.size() && result_at(run, p.program.last_of_step[answered]) != nullptr) {
    ++answered;
  }
  if (answered == steps.size()) {
    return "behind the last step";
  }
  if (answered == 0 && run.results.size() < p.program.first_step) {
    return run.trace.empty() ? "while it booted" : "while the drivers were dispatched";
  }
  auto const& step = steps[answered];
  return fmt::format("step {} ({}{}{}) was under way", answered + 1, step.kind, step.title == step.kind ? "" : ", ",
                     step.title == step.kind ? "" : step.title);
}

void add_event(MachineRun& run, hal::TraceEvent const& event) {
  if (event.kind == hal::TraceKind::Halt) {
    run.halted = static_cast<hal::HaltReason>(event.a);
  }
  if (run.trace.size() < RunLimits::kEvents || event.kind == hal::TraceKind::Halt) {
    run.trace.push_back(event);
  } else {
    ++run.dropped_events;
  }
}

void add_result_frame(MachineRun& run, std::span<std::byte const> payload, std::size_t events) {
  auto& results = run.results;
  StepOutcome out;
  out.events = events;
  if (payload.size() < sizeof out.head) {
    return;
  }
  std::memcpy(&out.head, payload.data(), sizeof out.head);
  auto data = payload.subspan(sizeof out.head);
  if (run.result_bytes + data.size() > RunLimits::kResultBytes) {
    run.dropped_bytes += data.size();
    data = {};
  }
  run.result_bytes += data.size();
  if (out.head.data_offset == 0) {
    out.data.assign(data.begin(), data.end());
    results.push_back(std::move(out));
  } else if (!results.empty() && results.back().head.index == out.head.index &&
             results.back().data.size() == out.head.data_offset) {
    append_bytes(results.back().data, data);
  }
}

void judge_ring0(MachineRun& run) {
  using K = hal::TraceKind;
  auto const in_ring3_image = [&run](u64 address) {
    return std::ranges::any_of(run.trace, [address](hal::TraceEvent const& e) {
      return e.kind == K::ImageLoaded && e.e == 1 && address - e.a < e.b;
    });
  };
  for (auto const& e : run.trace) {
    if (e.kind == K::SupervisorFault && in_ring3_image(e.c)) {
      run.ring0.push_back(fmt::format("CPU {} ran code of a ring-3 image at {} as ring 0", e.cpu, hex_number(e.c)));
    }
  }
}

std::string_view end_name(RunEnd end) {
  switch (end) {
    case RunEnd::TimeLimit:
      return "TimeLimit";
    case RunEnd::OutputLimit:
      return "OutputLimit";
    case RunEnd::Reset:
      return "Reset";
    case RunEnd::Stopped:
      return "Stopped";
    case RunEnd::Ring3ReachedRing0:
      return "Ring3ReachedRing0";
  }
  return "";
}

std::vector<std::string> describe_results(Prepared const& p, MachineRun const& run) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < p.scenario.steps.size(); ++i) {
    auto const& step = p.scenario.steps[i];
    auto const* got = result_at(run, p.program.last_of_step[i]);
    if (got == nullptr) {
      lines.push_back(fmt::format("step {} {}: no result, the machine stopped", i + 1, step.title));
      break;
    }
    std::span<std::byte const> const data{got->data};
    auto const body = data.subspan(std::min(step.header_bytes, data.size()));
    lines.push_back(fmt::format("step {} {}: {} value {}{}", i + 1, step.title, status_text(status_of(step, *got)),
                                hex_number(got->head.value), body.empty() ? "" : " data " + format_hex(body, 32)));
  }
  return lines;
}

}  // namespace mm::scenario
