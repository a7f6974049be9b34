// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/report.hpp"
#include "tools/lab/text/json_text.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tools/lab/text/markup.hpp"
#include "tools/lab/text/program_name.hpp"
#include "tools/lab/text/terminal.hpp"

namespace mm::runner {
namespace {

using lab::Difference;
using lab::Problem;

enum class Colour : u8 { Red = 31, Green = 32, Yellow = 33, Dim = 2, Bold = 1 };

std::string painted(std::string const& text, Colour colour) {
  static bool const on = lab::is_coloured();
  return on && !text.empty() ? fmt::format("\x1b[{}m{}\x1b[0m", static_cast<int>(colour), text) : text;
}
Colour colour_of(Outcome const& o) {
  return o.outcome == "passed" ? Colour::Green : o.outcome == "skipped" ? Colour::Yellow : Colour::Red;
}

std::string cut(std::string const& text, std::size_t width) {
  return text.size() <= width ? text : text.substr(0, width - 3) + "...";
}

bool failed_in(Outcome const& o, std::size_t number) {
  return std::ranges::any_of(o.failures,
                             [&](Failure const& f) { return f.problem.step && *f.problem.step + 1 == number; });
}

void print_events(std::vector<std::string> const& lines, std::size_t most = SIZE_MAX) {
  std::size_t const from = lines.size() > most ? lines.size() - most : 0;
  if (from != 0) {
    std::cout << fmt::format("       ... {} more before (-v shows all)\n", from);
  }
  for (std::size_t i = from; i < lines.size(); ++i) {
    std::cout << "       " << painted(lines[i], Colour::Dim) << '\n';
  }
}

/// One row a step: number, kind, what was sent, status, reply; a title above it.
void print_story(Outcome const& o, bool with_events) {
  std::size_t kind = 4;
  std::size_t sent = 4;
  std::size_t status = 6;
  constexpr std::size_t kWidest = 58;
  for (auto const& s : o.story) {
    kind = std::max(kind, s.story.kind.size());
    sent = std::max(sent, std::min(s.story.sent.size(), kWidest));
    status = std::max(status, s.story.status.size());
  }
  if (with_events && !o.boot_events.empty()) {
    std::cout << "\n       boot and start of the drivers\n";
    print_events(o.boot_events);
  }
  if ((with_events || o.code == kFailed) && !o.drivers.dispatch.empty()) {
    std::cout << "\n  drivers\n";
    for (auto const& line : o.drivers.dispatch) {
      std::cout << "       " << lab::as_typed(line) << '\n';
    }
  }
  if (o.story.empty()) {
    return;
  }
  std::cout << painted(
      fmt::format("\n    #  {:<{}}  {:<{}}  {:<{}}  reply\n", "step", kind, "sent", sent, "status", status),
      Colour::Bold);
  for (auto const& s : o.story) {
    bool const bad = failed_in(o, s.story.number);
    if (!s.story.title.empty()) {
      std::cout << "       " << painted(s.story.title, Colour::Dim) << '\n';
    }
    auto const row =
        fmt::format("{} {:>2}  {:<{}}  {:<{}}  {:<{}}  {}", bad ? " !" : "  ", s.story.number, s.story.kind, kind,
                    cut(s.story.sent, kWidest), sent, s.story.answered ? s.story.status : "", status,
                    s.story.answered ? s.story.reply : "no answer: the machine stopped");
    std::cout << (bad ? painted(row, Colour::Red) : row.substr(0, row.find_last_not_of(' ') + 1)) << '\n';
    if (with_events) {
      print_events(s.events);
    }
  }
}

/// What the drivers wrote, a line for each of theirs.
void print_serial(std::string const& serial) {
  if (serial.empty()) {
    return;
  }
  std::cout << "\n  serial port\n";
  std::istringstream lines{lab::serial_text(serial)};
  for (std::string line; std::getline(lines, line);) {
    std::cout << "       " << line << '\n';
  }
}

/// What the drivers asked of the scenario's devices.
void print_devices(std::vector<std::string> const& lines) {
  if (!lines.empty()) {
    std::cout << "\n  devices\n";
  }
  for (auto const& line : lines) {
    std::cout << "       " << line << '\n';
  }
}

void print_failure(Outcome const& o, Failure const& f) {
  auto const& p = f.problem;
  std::string const where =
      p.step && *p.step < o.story.size()
          ? fmt::format("step {}{}{}", *p.step + 1, o.story[*p.step].story.title.empty() ? "" : ", ",
                        o.story[*p.step].story.title)
          : std::string{"the run"};
  std::cout << '\n' << painted(fmt::format("  {}: {}", where, p.what.empty() ? p.text : p.what), Colour::Red) << '\n';
  if (!p.expected.empty() || !p.actual.empty()) {
    std::cout << fmt::format("    expected  {}\n    actual    {}\n", p.expected, p.actual);
  }
  std::cout << fmt::format("    machine   {}\n", f.target);
  if (p.line != 0) {
    std::cout << fmt::format("    at        {}:{}\n", o.scenario, p.line);
  }
  if (!f.advice.empty()) {
    std::cout << "    try       " << lab::as_typed(f.advice) << '\n';
  }
}

/// The events of the first step that failed, or of the step in which the machine stopped.
/// The step that failed first, else the last one; nothing when the machine did not come to a step.
std::optional<std::size_t> step_of_failure(Outcome const& o) {
  if (o.story.empty()) {
    return std::nullopt;
  }
  auto const first = std::ranges::find_if(o.failures, [](Failure const& f) { return f.problem.step.has_value(); });
  return first != o.failures.end() ? std::min(*first->problem.step, o.story.size() - 1) : o.story.size() - 1;
}

void print_events_of_failure(Outcome const& o) {
  constexpr std::size_t kMost = 24;
  auto const index = step_of_failure(o);
  std::cout << (index ? fmt::format("\n  what happened in step {}\n", *index + 1) : "\n  what happened\n");
  print_events(index ? o.story[*index].events : o.boot_events, kMost);
}

void print_difference(Difference const& d) {
  std::cout << '\n' << painted(fmt::format("  the machines differ from {} {} on", d.in, d.number), Colour::Red) << '\n';
  auto const lines = [](char const* who, std::vector<std::string> const& some) {
    for (auto const& line : some) {
      std::cout << fmt::format("    {:<5} {}\n", who, line);
    }
  };
  lines("both", d.before);
  lines("sim", {d.sim.empty() ? "(nothing more)" : d.sim});
  lines("", d.sim_after);
  lines("qemu", {d.machine.empty() ? "(nothing more)" : d.machine});
  lines("", d.machine_after);
  std::cout << lab::as_typed(
      "    try   each machine alone with --transcript FILE; `mmsim doctor -v` lists the declared differences\n");
}

nlohmann::json to_json(ToldStep const& s) {
  nlohmann::json out{{"number", s.story.number}, {"kind", s.story.kind}, {"title", s.story.title},
                     {"line", s.story.line},     {"sent", s.story.sent}, {"answered", s.story.answered},
                     {"reply", s.story.reply},   {"events", s.events}};
  if (s.story.answered) {
    out["status"] = s.story.status;
    out["status_value"] = s.status;
    out["value"] = s.value;
    out["data_hex"] = lab::hex_digits(s.data);
  }
  return out;
}

nlohmann::json to_json(Failure const& f, std::string const& file) {
  nlohmann::json out{{"text", f.problem.text},     {"file", file},           {"line", f.problem.line},
                     {"target", f.target},         {"what", f.problem.what}, {"expected", f.problem.expected},
                     {"actual", f.problem.actual}, {"advice", f.advice}};
  if (f.problem.step) {
    out["step"] = *f.problem.step + 1;
  }
  return out;
}

nlohmann::json to_json(Difference const& d) {
  return {{"in", d.in},
          {"number", d.number},
          {"before", d.before},
          {"sim", d.sim},
          {"machine", d.machine},
          {"sim_after", d.sim_after},
          {"machine_after", d.machine_after}};
}

}  // namespace

std::string xml_text(std::string const& text) {
  std::string out;
  for (char const c : lab::valid_utf8(text)) {
    if (auto const entity = audit::entity_of(c); !entity.empty()) {
      out += entity;
      continue;
    }
    out += static_cast<unsigned char>(c) < 0x20 && c != '\n' ? ' ' : c;
  }
  return out;
}

Progress::Progress(std::size_t total, bool wanted)
    : total_(total), on_(wanted && total > 1 && lab::is_terminal(STDERR_FILENO)) {}

void Progress::show(std::size_t done, std::string const& now) {
  if (on_) {
    constexpr std::size_t kWidth = 24;
    std::size_t const full = done * kWidth / total_;
    std::cerr << fmt::format("\r\x1b[K[{}{}] {}/{} {}", std::string(full, '#'), std::string(kWidth - full, '.'), done,
                             total_, cut(now, 48))
              << std::flush;
  }
}
void Progress::clear() {
  if (on_) {
    std::cerr << "\r\x1b[K" << std::flush;
  }
}

void print(Outcome const& o, Detail detail) {
  bool const failed = o.code == kFailed;
  std::cout << painted(fmt::format("{:<7}", o.outcome), colour_of(o))
            << fmt::format(" {} [{}] {:.1f} ms\n", o.scenario, o.target, o.milliseconds);
  if (detail != Detail::Line || failed) {
    if (!o.name.empty()) {
      std::cout << "  " << o.name << '\n';
    }
    print_story(o, detail == Detail::Events);
  }
  if (detail == Detail::Events) {
    print_serial(o.drivers.serial);
    print_devices(o.drivers.devices);
  }
  for (auto const& failure : o.failures) {
    print_failure(o, failure);
  }
  if (o.comparison.difference) {
    print_difference(*o.comparison.difference);
  }
  if (!o.failures.empty() && detail != Detail::Events) {
    print_events_of_failure(o);
  }
  if (detail == Detail::Events) {
    for (auto const& d : o.comparison.declared) {
      std::cout << fmt::format("\n  declared difference {}\n    sim   {}\n    qemu  {}\n", d.id, d.sim, d.machine);
    }
  } else if (detail == Detail::Story && !o.comparison.declared.empty()) {
    std::cout << fmt::format("\n  {} declared difference(s) between the machines (-v shows them)\n",
                             o.comparison.declared.size());
  }
  for (auto const& message : o.messages) {
    std::cout << "  " << lab::as_typed(message) << '\n';
  }
  if (detail != Detail::Line || failed) {
    std::cout << '\n';
  }
}

namespace {

/// "FILE:LINE [TARGET] what was wrong first": on one line, so that the last screen of a suite says what to look at.
std::string failed_line(Outcome const& o) {
  auto const* const first = o.failures.empty() ? nullptr : &o.failures.front().problem;
  auto const line = first == nullptr || first->line == 0 ? std::string{} : fmt::format(":{}", first->line);
  auto text = first != nullptr ? first->text : o.messages.empty() ? std::string{} : o.messages.front();
  if (o.failures.empty() && o.comparison.difference) {
    text = fmt::format("the machines differ in {} {}", o.comparison.difference->in, o.comparison.difference->number);
  }
  text = text.substr(0, text.find('\n'));
  return fmt::format("{}{} [{}]{}{}", o.scenario, line, o.target, text.empty() ? "" : "  ", lab::as_typed(text));
}

}  // namespace

void print_summary(std::vector<Outcome> const& outcomes, std::size_t not_run) {
  double milliseconds = 0;
  for (auto const& o : outcomes) {
    milliseconds += o.milliseconds;
  }
  auto const count = [&](std::string_view what) { return std::ranges::count(outcomes, what, &Outcome::outcome); };
  std::cout << fmt::format("\n{:>8} {:>8} {:>8} {:>8} {:>8} {:>10}\n", "passed", "failed", "error", "skipped", "total",
                           "time");
  std::cout << fmt::format("{:>8} {:>8} {:>8} {:>8} {:>8} {:>8.1f} s\n", count("passed"), count("failed"),
                           count("error"), count("skipped"), outcomes.size(), milliseconds / 1000);
  for (auto const& o : outcomes) {
    if (o.code != kPassed && o.code != kSkipped) {
      std::cout << painted(fmt::format("{:<7}", o.outcome), colour_of(o)) << " " << failed_line(o) << '\n';
    }
  }
  if (not_run != 0) {
    std::cout << fmt::format("{} not started: --fail-fast\n", not_run);
  }
}

nlohmann::json to_json(Outcome const& o) {
  nlohmann::json out{
      {"scenario", o.scenario}, {"target", o.target}, {"outcome", o.outcome}, {"milliseconds", o.milliseconds},
      {"messages", o.messages}, {"steps", o.steps},   {"name", o.name},       {"dispatch", o.drivers.dispatch}};
  out["story"] = nlohmann::json::array();
  for (auto const& step : o.story) {
    out["story"].push_back(to_json(step));
  }
  out["failures"] = nlohmann::json::array();
  for (auto const& failure : o.failures) {
    out["failures"].push_back(to_json(failure, o.scenario));
  }
  out["serial"] = o.drivers.serial;
  out["devices"] = o.drivers.devices;
  out["ended"] = o.ended.empty() ? nlohmann::json(nullptr) : nlohmann::json(o.ended);
  out["repeated"] = o.repeated;
  out["declared_differences"] = nlohmann::json::array();
  for (auto const& d : o.comparison.declared) {
    out["declared_differences"].push_back({{"id", d.id}, {"sim", d.sim}, {"machine", d.machine}});
  }
  if (o.comparison.difference) {
    out["difference"] = to_json(*o.comparison.difference);
  }
  return out;
}

/// What a failed test case says: each expectation with its line, the first difference, and the last events of the step.
std::string junit_text(Outcome const& o) {
  std::string text;
  for (auto const& f : o.failures) {
    auto const line = f.problem.line == 0 ? std::string{} : fmt::format(":{}", f.problem.line);
    text += fmt::format("{}: {} ({}{})\n", f.target, f.problem.text, o.scenario, line);
  }
  if (auto const& d = o.comparison.difference) {
    text += fmt::format("first difference in {} {}\nsim:  {}\nqemu: {}\n", d->in, d->number, d->sim, d->machine);
  }
  for (auto const& m : o.messages) {
    text += m + "\n";
  }
  if (o.code != kFailed) {
    return text;
  }
  constexpr std::size_t kMost = 24;
  auto const index = step_of_failure(o);
  auto const& events = index ? o.story[*index].events : o.boot_events;
  text += index ? fmt::format("last events of step {}\n", *index + 1) : "last events\n";
  for (std::size_t i = events.size() - std::min(events.size(), kMost); i < events.size(); ++i) {
    text += "  " + events[i] + "\n";
  }
  return text;
}

/// The attributes of <failure> and <error>: the first sentence, and what kind of expectation it is about.
std::string junit_head(Outcome const& o) {
  std::string const message = !o.failures.empty()       ? o.failures.front().problem.text
                              : o.comparison.difference ? "the machines differ"
                              : o.messages.empty()      ? o.outcome
                                                        : o.messages.front();
  std::string const type = !o.failures.empty()       ? o.failures.front().problem.what
                           : o.comparison.difference ? "difference"
                                                     : o.outcome;
  return fmt::format("message=\"{}\" type=\"{}\"", xml_text(message), xml_text(type.empty() ? o.outcome : type));
}

std::string junit(std::vector<Outcome> const& outcomes) {
  std::ostringstream out;
  double milliseconds = 0;
  for (auto const& o : outcomes) {
    milliseconds += o.milliseconds;
  }
  auto const count = [&](std::string_view what) { return std::ranges::count(outcomes, what, &Outcome::outcome); };
  out << fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"mmsim\" tests=\"{}\" failures=\"{}\" "
      "errors=\"{}\" skipped=\"{}\" time=\"{:.3f}\">\n",
      outcomes.size(), count("failed"), count("error"), count("skipped"), milliseconds / 1000);
  for (auto const& o : outcomes) {
    out << fmt::format("  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3f}\">", xml_text(o.target),
                       xml_text(o.scenario), o.milliseconds / 1000);
    if (o.outcome == "failed" || o.outcome == "error") {
      auto const element = o.outcome == "failed" ? "failure" : "error";
      out << fmt::format("<{} {}>{}</{}>", element, junit_head(o), xml_text(junit_text(o)), element);
    } else if (o.outcome == "skipped") {
      out << fmt::format("<skipped message=\"{}\"/>", xml_text(o.messages.empty() ? "" : o.messages.front()));
    }
    out << "</testcase>\n";
  }
  out << "</testsuite>\n";
  return out.str();
}

std::string transcripts(std::vector<Outcome> const& outcomes) {
  std::string out;
  for (auto const& o : outcomes) {
    out += fmt::format("# {} [{}]\n", o.scenario, o.target);
    for (auto const& line : o.events) {
      out += line + "\n";
    }
  }
  return out;
}

}  // namespace mm::runner
