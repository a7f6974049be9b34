// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "core/communication/communicator.hpp"
#include "tools/lab/judge/check.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/text/terminal.hpp"

/// What a run gave, held against what the scenario expects.
namespace mm::lab {
namespace {

/// An EFI_STATUS with its highest bit set (UEFI 2.10, appendix D).
bool is_error(u64 status) { return status >> 63 != 0; }

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
    if (auto const status = status_of(step_, *got); e.status && *e.status != status) {
      add("status", status_text(*e.status), status_text(status) + client_said(got->head.detail >> 8));
    }
    if (auto const status = status_of(step_, *got); e.error && *e.error != is_error(status)) {
      add("status", *e.error ? "an error" : "no error", status_text(status) + client_said(got->head.detail >> 8));
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
           auto const refused = hal::as<hal::event::ImageRefused>(e);
           return refused && refused->guid == image->guid;
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

/// `text` in one line, without what a terminal would obey.
std::string one_line(std::string_view text) {
  auto out = without_controls(text);
  for (std::size_t at = 0; (at = out.find('\n', at)) != std::string::npos;) {
    out.replace(at, 1, "\\n");
  }
  return out;
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
/// `all`: each must be found; else some of it may be out of sight.
void expect_caught(std::vector<std::string> const& caught, bool all, std::vector<Problem>& problems) {
  auto const tells = [](Problem const& problem) {
    return [&problem](std::string const& what) { return problem.text.contains(what); };
  };
  std::vector<Problem> missing;
  for (auto const& what : caught) {
    if (all && std::ranges::none_of(problems, [&](Problem const& p) { return p.text.contains(what); })) {
      missing.push_back(whole(fmt::format("'{}' was to be caught, and was not", what)));
    }
  }
  if (!caught.empty()) {
    std::erase_if(problems, [&](Problem const& p) { return std::ranges::any_of(caught, tells(p)); });
  }
  problems.insert(problems.end(), missing.begin(), missing.end());
}

/// Texts that drivers print, in order; other text may be between.
void check_serial(Expectation const& expect, MachineRun const& run, std::vector<Problem>& problems) {
  std::size_t at = 0;
  for (auto const& text : expect.serial) {
    auto const found = run.serial.find(text, at);
    if (found == std::string::npos) {
      constexpr std::size_t kShown = 200;
      auto const from = run.serial.size() - std::min(run.serial.size(), kShown);
      auto const rest = one_line(std::string_view{run.serial}.substr(std::max(at, from)));
      auto const have = rest.empty() ? std::string{at == 0 ? "nothing" : "nothing more"} : fmt::format("\"{}\"", rest);
      problems.push_back(whole(fmt::format("\"{}\" is not written to the serial port{}", one_line(text),
                                           at == 0 ? "" : " behind what was expected before"),
                               expect.serial_line, "serial port", fmt::format("\"{}\"", one_line(text)), have));
      return;
    }
    at = found + text.size();
  }
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

/// The writes that a device was to get: in this order, others may be between.
void check_devices(Prepared const& p, MachineRun const& run, std::vector<Problem>& problems) {
  for (auto const& device : p.scenario.devices) {
    auto const log = std::ranges::find(run.witness.devices, device.name, &sim::DeviceLog::name);
    if (log == run.witness.devices.end()) {
      continue;  // a flash
    }
    auto at = log->accesses.begin();
    for (auto const& want : device.writes) {
      at = std::find_if(at, log->accesses.end(), [&](sim::DeviceAccess const& a) {
        return a.write && a.offset == want.at && a.bytes == want.width && a.value == want.value;
      });
      if (at == log->accesses.end()) {
        auto const what = fmt::format("a write of {} bytes, {}, to {}+{}", want.width, hex_number(want.value),
                                      device.name, hex_number(want.at));
        problems.push_back(
            whole(fmt::format("device \"{}\": {} did not come after those before it", device.name, what), want.line,
                  "device " + device.name, what,
                  fmt::format("{} accesses, this one not among those that were left", log->accesses.size())));
        break;
      }
      ++at;
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

std::string joined(std::vector<std::string> const& lines) {
  std::string out;
  for (auto const& line : lines) {
    out += (out.empty() ? "" : "; ") + line;
  }
  return out;
}

std::string how_it_ended(MachineRun const& run) {
  if (run.ended) {
    switch (*run.ended) {
      case RunEnd::TimeLimit:
      case RunEnd::OutputLimit:
        return fmt::format("did not end ({}: {})", end_name(*run.ended), joined(run.text));
      case RunEnd::Reset:
        return "was reset (Reset)";
      case RunEnd::Stopped:
        return "halted (Stopped: CPUs are in HLT inside MM)";
      case RunEnd::Ring3ReachedRing0:
        return "was stopped (Ring3ReachedRing0)";
    }
  }
  return run.halted ? fmt::format("halted ({})", halt_name(*run.halted)) : std::string{"did not halt"};
}

/// Halt, reset, or the end of the steps: as expected? The release core does not say why it halts.
void check_end(Prepared const& p, MachineRun const& run, std::vector<Problem>& problems) {
  auto const& expect = p.scenario.expect;
  bool const halts = run.ended == RunEnd::Stopped && expect.halted;
  bool const right = expect.reset ? run.ended == RunEnd::Reset
                     : p.release  ? halts || (!run.ended && !expect.halted)
                                  : !run.ended && expect.halted == run.halted;
  if (!right) {
    auto const want = expect.reset    ? std::string{"a reset"}
                      : expect.halted ? std::string{halt_name(*expect.halted)}
                                      : std::string{"no halt"};
    auto const have = how_it_ended(run);
    problems.push_back(
        whole(fmt::format("the machine {}, expected {}", have, want), expect.halted_line, "the machine", want, have));
  }
  if (expect.halted == hal::HaltReason::RendezvousTimeout) {
    return;  // whom the MMI did not reach is outside, and stops at its next one
  }
  for (u32 const cpu : run.outside) {
    problems.push_back(whole(fmt::format("CPU {} is outside MM after the halt", cpu), 0, "the halt",
                             "every CPU stopped inside MM", fmt::format("CPU {} runs outside", cpu)));
  }
}

/// What was not kept cannot be judged.
void check_kept(MachineRun const& run, std::vector<Problem>& problems) {
  if (run.dropped_bytes != 0) {
    problems.push_back(
        whole(fmt::format("the steps gave {} bytes of results more than the {} MiB that are kept: split "
                          "the scenario",
                          run.dropped_bytes, RunLimits::kResultBytes >> 20)));
  }
}

/// No scenario may expect this, nor catch it.
void add_ring0(MachineRun const& run, std::vector<Problem>& problems) {
  for (auto const& how : run.ring0) {
    problems.push_back(
        whole(fmt::format("Ring3ReachedRing0: {}", how), 0, "Ring3ReachedRing0", "ring 3 never runs as ring 0", how));
  }
}

/// No scenario may expect this either.
void add_stale(MachineRun const& run, std::vector<Problem>& problems) {
  for (auto const& how : run.witness.stale) {
    problems.push_back(
        whole("StaleTranslation: " + how, 0, "StaleTranslation", "the TLB holds what the tables say", how));
  }
}

/// What the ROM of the second machine found around an MMI. No scenario may expect this, but for a driver that left by
/// RSM.
void add_registers(Prepared const& p, MachineRun const& run, std::vector<Problem>& problems) {
  // RSM in ring 3 leaves MM past everything that gives them back, and the next MMI notices. The release core does not
  // say why it halts.
  if (run.halted == hal::HaltReason::RsmBreach || p.scenario.expect.halted == hal::HaltReason::RsmBreach) {
    return;
  }
  for (auto const& line : run.text) {
    if (line.starts_with("register ")) {
      problems.push_back(
          whole("the normal world's " + line, 0, "registers of the normal world", "as before the MMI", line));
    }
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
  check_end(p, run, problems);
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
  check_kept(run, problems);
  check_memory(p, run, problems);
  check_secrets(p, run, problems);
  check_serial(expect, run, problems);
  check_devices(p, run, problems);
  if (p.release) {
    return problems;  // everything below is told by events
  }
  bool const start_fault = std::ranges::any_of(run.trace, [](hal::TraceEvent const& e) {
    auto const fault = hal::as<hal::event::Fault>(e);
    return fault && fault->command == abi::UserCommand::StartUserCore;
  });
  if (start_fault && !expect.halted) {
    problems.push_back(whole("the user core faulted while it started"));
  }
  if (!run.complete && !run.halted && !run.boot_failed && !run.ended) {
    problems.push_back(whole("the machine stopped without saying why"));
  }
  check_events(expect, run.trace, problems);
  check_audit(run, problems);
  for (auto const& breach : run.breaches) {
    problems.push_back(whole(breach));
  }
  return problems;
}

}  // namespace

std::vector<Problem> check(Prepared const& p, MachineRun const& run) {
  auto problems = all_problems(p, run);
  expect_caught(p.scenario.expect.caught, !p.release, problems);
  add_ring0(run, problems);
  add_stale(run, problems);
  add_registers(p, run, problems);
  return problems;
}

}  // namespace mm::lab
