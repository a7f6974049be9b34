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

std::string some_hex(std::span<std::byte const> bytes) { return bytes.empty() ? "nothing" : format_hex(bytes); }

/// Why the normal world's client gave no answer: `code` is 0 or 1 + CommunicateError. Of an error that MM answered the
/// status says enough.
std::string client_said(u64 code) {
  bool const of_mm = code == 1 + static_cast<u64>(communication::CommunicateError::MmFailed);
  auto const name = code == 0 || of_mm ? "" : communicate_error_name(code - 1);
  return name.empty() ? "" : fmt::format(" (the client: {})", name);
}

/// What one step was expected to give, held against what it gave.
class StepCheck {
 public:
  StepCheck(ScenarioStep const& step, std::size_t index, std::vector<Problem>& problems)
      : step_(step), index_(index), problems_(problems) {}

  void run(StepOutcome const* got) {
    auto const& e = step_.expect;
    if (got == nullptr || e.halts) {
      if ((got == nullptr) != e.halts) {
        add("halt", e.halts ? "the machine halts here" : "a result",
            e.halts ? "a result" : "none, the machine stopped");
      }
      return;
    }
    if (e.status && *e.status != got->head.status) {
      add("status", status_text(*e.status), status_text(got->head.status) + client_said(got->head.detail >> 8));
    }
    compare("size", e.size, got->head.value);
    compare("message size", e.message_size, got->head.value - std::min<u64>(got->head.value, step_.header_bytes));
    compare("value", e.value, got->head.value);
    compare("mailbox valid", e.valid, got->head.detail & 0xFF);
    std::span<std::byte const> const data{got->data};
    bytes(data.subspan(std::min(step_.header_bytes, data.size())));
  }

 private:
  void add(std::string what, std::string expected, std::string actual) {
    auto text = fmt::format("step {} ({}, line {}): {} is {}, expected {}", index_ + 1, step_.title, step_.line, what,
                            actual, expected);
    problems_.push_back({std::move(text), index_, step_.expect.line != 0 ? step_.expect.line : step_.line,
                         std::move(what), std::move(expected), std::move(actual)});
  }
  void compare(char const* what, std::optional<u64> want, u64 have) {
    if (want && *want != have) {
      add(what, hex_number(*want), hex_number(have));
    }
  }
  void bytes(std::span<std::byte const> got) {
    for (auto const& want : step_.expect.bytes) {
      auto const there = got.subspan(std::min(want.at, got.size()));
      auto const same = there.first(std::min(there.size(), want.bytes.size()));
      if (!std::ranges::equal(want.bytes, same)) {
        add(fmt::format("bytes at {}", want.at), format_hex(want.bytes), some_hex(same));
      }
    }
  }

  ScenarioStep const& step_;
  std::size_t index_;
  std::vector<Problem>& problems_;
};

bool matches(ExpectedEvent const& want, hal::TraceEvent const& e) {
  auto const same = [](std::optional<u64> w, u64 h) { return !w || *w == h; };
  return want.kind == e.kind && same(want.cpu, e.cpu) && same(want.a, e.a) && same(want.b, e.b) && same(want.c, e.c) &&
         same(want.d, e.d) && same(want.e, e.e) && same(want.f, e.f);
}

void check_events(Expectation const& expect, std::vector<hal::TraceEvent> const& trace,
                  std::vector<Problem>& problems) {
  auto at = trace.begin();
  for (std::size_t i = 0; i < expect.events.size(); ++i) {
    auto const& want = expect.events[i];
    at = std::find_if(at, trace.end(), [&](hal::TraceEvent const& e) { return matches(want, e); });
    if (at == trace.end()) {
      bool const same_kind = std::ranges::any_of(trace, [&](hal::TraceEvent const& e) { return e.kind == want.kind; });
      problems.push_back({fmt::format("expected event {} ({}) did not happen{}", i + 1, event_name(want.kind),
                                      i == 0 ? "" : " after those before it"),
                          {},
                          want.line,
                          fmt::format("event {}", i + 1),
                          std::string{event_name(want.kind)},
                          same_kind ? "only with other values, or earlier" : "did not happen"});
      break;
    }
    ++at;
  }
  for (auto const kind : expect.no_events) {
    if (std::ranges::any_of(trace, [&](hal::TraceEvent const& e) { return e.kind == kind; })) {
      problems.push_back({fmt::format("event {} happened, and must not", event_name(kind)),
                          {},
                          expect.no_events_line,
                          "event",
                          fmt::format("no {}", event_name(kind)),
                          "it happened"});
    }
  }
}

/// The loader refused the image of this name, and with it the boot.
bool loader_refused(Prepared const& p, MachineRun const& run, std::string const& name) {
  auto const image = std::ranges::find(p.scenario.images, name, &ImageSpec::name);
  return run.boot_failed && image != p.scenario.images.end() &&
         std::ranges::any_of(run.trace, [&](hal::TraceEvent const& e) {
           return e.kind == hal::TraceKind::ImageRefused && std::bit_cast<Guid>(std::array{e.c, e.d}) == image->guid;
         });
}

void check_memory(Prepared const& p, MachineRun const& run, std::vector<Problem>& problems) {
  for (std::size_t i = 0; i < p.scenario.expect.memory_unchanged.size(); ++i) {
    auto const* before = result_at(run, p.program.reads_before + i);
    auto const* after = result_at(run, p.program.reads_after + i);
    auto const& range = p.scenario.expect.memory_unchanged[i];
    auto const add = [&](std::string const& address, char const* actual) {
      problems.push_back({fmt::format("memory at {} {}", address, actual),
                          {},
                          range.line,
                          "memory at " + address,
                          "unchanged",
                          actual});
    };
    if (before == nullptr || after == nullptr) {
      add(hex_number(range.address), "not read, the machine stopped before");
    } else if (before->data != after->data) {
      auto const [x, y] = std::ranges::mismatch(before->data, after->data);
      add(hex_number(range.address + static_cast<u64>(x - before->data.begin())), "changed");
    }
  }
}

/// A problem of the run as a whole, which no line of the file is about.
Problem whole(std::string text, int line = 0, std::string what = {}, std::string expected = {},
              std::string actual = {}) {
  return {std::move(text), {}, line, std::move(what), std::move(expected), std::move(actual)};
}

/// Bytes that must stay in MM are in nothing that the normal world was given.
void check_secrets(Prepared const& p, MachineRun const& run, std::vector<Problem>& problems) {
  for (auto const& secret : p.scenario.expect.secrets) {
    for (auto const& result : run.results) {
      if (!std::ranges::search(result.data, secret).empty()) {
        problems.push_back(whole(
            fmt::format("secret {} is in the result of program step {}", format_hex(secret, 8), result.head.index)));
      }
    }
  }
}

/// Takes away the problems that were to be found, and adds those that were not.
void expect_caught(std::vector<std::string> const& caught, std::vector<Problem>& problems) {
  auto const tells = [](Problem const& problem) {
    return [&problem](std::string const& what) { return problem.text.contains(what); };
  };
  std::vector<Problem> missing;
  for (auto const& what : caught) {
    if (std::ranges::none_of(problems, [&](Problem const& p) { return p.text.contains(what); })) {
      missing.push_back(whole(fmt::format("'{}' was to be caught, and was not", what)));
    }
  }
  if (!caught.empty()) {
    std::erase_if(problems, [&](Problem const& p) { return std::ranges::any_of(caught, tells(p)); });
  }
  problems.insert(problems.end(), missing.begin(), missing.end());
}

void check_audit(MachineRun const& run, std::vector<Problem>& problems) {
  if (!run.audited) {
    return;
  }
  for (auto const& result : run.audited->rules) {
    for (auto const& o : result.offences) {
      problems.push_back(whole(
          fmt::format("audit after MMI {}: {}: {} {}", o.mmi, result.rule->name, audit::range_text(o.range), o.what)));
    }
  }
}

/// The boot that was to be refused for a reason.
void check_boot_error(std::string const& reason, MachineRun const& run, std::vector<Problem>& problems) {
  if (!run.boot_failed || run.text.empty() || !run.text.back().contains(reason)) {
    problems.push_back(whole(fmt::format("the boot was to be refused ({}), and {}", reason,
                                         !run.boot_failed   ? std::string{"was not"}
                                         : run.text.empty() ? std::string{"gave no reason"}
                                                            : "the reason is: " + run.text.back())));
  }
}

/// What is not as expected, whether or not it was to be caught.
std::vector<Problem> all_problems(Prepared const& p, MachineRun const& run) {
  std::vector<Problem> problems;
  auto const& expect = p.scenario.expect;
  if (expect.refused_image) {
    if (!loader_refused(p, run, *expect.refused_image)) {
      problems.push_back(whole(fmt::format("image '{}' was to be refused, and was not", *expect.refused_image),
                               expect.refused_image_line, "image",
                               fmt::format("'{}' is refused", *expect.refused_image), "it was loaded"));
    }
    return problems;
  }
  if (expect.boot_error) {
    check_boot_error(*expect.boot_error, run, problems);
    return problems;
  }
  if (expect.halted != run.halted) {
    auto const want = expect.halted ? std::string{halt_name(*expect.halted)} : std::string{"no halt"};
    auto const have = run.halted ? fmt::format("halted ({})", halt_name(*run.halted)) : std::string{"did not halt"};
    problems.push_back(
        whole(fmt::format("the machine {}, expected {}", have, want), expect.halted_line, "the machine", want, have));
  }
  if (run.boot_failed && !expect.halted) {
    problems.push_back(whole("the boot failed" + (run.text.empty() ? "" : ": " + run.text.back())));
    return problems;
  }
  for (std::size_t i = 0; i < p.scenario.steps.size(); ++i) {
    auto const* got = result_at(run, p.program.last_of_step[i]);
    StepCheck{p.scenario.steps[i], i, problems}.run(got);
    if (got == nullptr) {
      break;
    }
  }
  bool const start_fault = std::ranges::any_of(run.trace, [](hal::TraceEvent const& e) {
    return e.kind == hal::TraceKind::Fault && e.f == static_cast<u64>(abi::UserCommand::StartUserCore);
  });
  if (start_fault && !expect.halted) {
    problems.push_back(whole("the user core faulted while it started"));
  }
  if (!run.complete && !run.halted && !run.boot_failed) {
    problems.push_back(whole("the machine stopped without saying why"));
  }
  check_events(expect, run.trace, problems);
  check_memory(p, run, problems);
  check_secrets(p, run, problems);
  check_audit(run, problems);
  for (auto const& breach : run.breaches) {
    problems.push_back(whole(breach));
  }
  return problems;
}

}  // namespace

std::string image_name(Prepared const& prepared, Guid const& guid) {
  auto const& images = prepared.scenario.images;
  auto const image = std::ranges::find(images, guid, &ImageSpec::guid);
  return image == images.end() ? guid_name(guid) : image->name;
}

std::expected<Prepared, std::string> prepare(Scenario scenario, std::filesystem::path const& images) {
  Prepared p;
  p.scenario = std::move(scenario);
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
  auto const at =
      std::ranges::find(run.results, static_cast<u32>(index), [](StepOutcome const& r) { return r.head.index; });
  return at == run.results.end() ? nullptr : &*at;
}

void add_result_frame(std::vector<StepOutcome>& results, std::span<std::byte const> payload, std::size_t events) {
  StepOutcome out;
  out.events = events;
  if (payload.size() < sizeof out.head) {
    return;
  }
  std::memcpy(&out.head, payload.data(), sizeof out.head);
  auto const data = payload.subspan(sizeof out.head);
  if (out.head.data_offset == 0) {
    out.data.assign(data.begin(), data.end());
    results.push_back(std::move(out));
  } else if (!results.empty() && results.back().head.index == out.head.index &&
             results.back().data.size() == out.head.data_offset) {
    append_bytes(results.back().data, data);
  }
}

std::vector<Problem> check(Prepared const& p, MachineRun const& run) {
  auto problems = all_problems(p, run);
  expect_caught(p.scenario.expect.caught, problems);
  return problems;
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
    lines.push_back(fmt::format("step {} {}: {} value {}{}", i + 1, step.title, status_text(got->head.status),
                                hex_number(got->head.value), body.empty() ? "" : " data " + format_hex(body, 32)));
  }
  return lines;
}

}  // namespace mm::scenario
