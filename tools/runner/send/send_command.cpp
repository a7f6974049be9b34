// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/lab/coverage/collector.hpp"
#include "tools/lab/judge/check.hpp"
#include "tools/lab/run/backend.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/scenario/messages.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/tell/driver_report.hpp"
#include "tools/lab/tell/transcript.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/lab/text/program_name.hpp"
#include "tools/lab/text/terminal.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/machine_options.hpp"
#include "tools/runner/qemu_options.hpp"
#include "tools/runner/send/list.hpp"
#include "tools/runner/send/stream.hpp"
#include "tools/runner/send/waiting.hpp"
#include "tools/runner/symbol_options.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using namespace mm::lab;
using nlohmann::json;

/// What `mmsim send` was asked to do.
struct SendOptions {
  MachineOptions machine;
  std::string to;  ///< name or GUID of a handler, or name of a driver
  struct Judged {
    bool list = false;   ///< nothing is sent
    std::string expect;  ///< status of every answer; empty: whatever
  };
  Judged judged;
  std::string hex, text;
  std::filesystem::path file, messages;
  std::string channel;  ///< empty: user, but supervisor for the supervisor's own requests
  std::string fault_policy = "contain";
  std::string target = "sim";
  QemuOptions qemu;
  u32 seconds = 60;  ///< that QEMU may run
  bool json = false;
  bool verbose = false;
  std::shared_ptr<CoverageCollector> coverage = std::make_shared<CoverageCollector>();
};

std::expected<Message, std::string> one_message(SendOptions const& o) {
  Message message;
  MM_TRY_ASSIGN(message.to, find_guid(o.to));
  if (!o.hex.empty()) {
    MM_TRY_ASSIGN(message.data, parse_hex(o.hex));
  } else if (!o.file.empty()) {
    MM_TRY_ASSIGN(message.data, read_file(o.file));
  } else {
    append_text(message.data, o.text);
  }
  message.channel = default_channel(message.to);
  return message;
}

std::expected<std::vector<Message>, std::string> messages_of(SendOptions const& o) {
  std::vector<Message> out;
  if (!o.messages.empty()) {
    MM_TRY_ASSIGN(auto const bytes, read_file(o.messages));
    std::optional<Guid> otherwise;
    if (!o.to.empty()) {
      MM_TRY_ASSIGN(otherwise, find_guid(o.to));
    }
    MM_TRY_ASSIGN(out, parse_messages({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, o.messages.string(),
                                      otherwise));
  } else {
    MM_TRY_ASSIGN(auto message, one_message(o));
    out.push_back(std::move(message));
  }
  for (auto& m : out) {
    if (!o.channel.empty()) {
      m.channel = o.channel == "user" ? abi::Channel::User : abi::Channel::Supervisor;
    }
    MM_TRY(fits(m));
  }
  return out;
}

/// Whether the messages go to the machine some at a time. With -v they do not: the transcript tells each with its
/// events.
bool streams(SendOptions const& o) { return !o.messages.empty() && o.target == "sim" && !o.verbose; }

/// What was given, with the messages as steps when they are not streamed.
Scenario with_messages(SendOptions const& o, Scenario s, std::vector<Message> const& messages) {
  s.boot.fault_policy =
      static_cast<u32>(o.fault_policy == "contain" ? abi::FaultPolicy::Contain : abi::FaultPolicy::FailStop);
  if (!streams(o)) {
    for (auto const& m : messages) {
      s.steps.push_back(*message_step(m));
    }
  }
  return s;
}

json result_json(StepOutcome const* outcome) {
  if (outcome == nullptr) {
    return {{"status", "HALTED"}, {"status_value", nullptr}, {"data_hex", ""}};
  }
  return {{"status", efi_status_name(outcome->head.status)},
          {"status_value", outcome->head.status},
          {"data_hex", hex_digits(reply_of(*outcome))}};
}

void print_reply(StepOutcome const* outcome) {
  if (outcome == nullptr) {
    fmt::print("no reply: the machine stopped\n");
    return;
  }
  auto const reply = reply_of(*outcome);
  fmt::print("{} ({}), {} byte{}\n", efi_status_name(outcome->head.status), hex_number(outcome->head.status),
             reply.size(), reply.size() == 1 ? "" : "s");
  fmt::print("{}", hex_dump(reply));
}

json to_json(std::vector<DriverReport> const& reports) {
  json out = json::array();
  for (auto const& r : reports) {
    json needs = json::array();
    for (auto const& guid : r.needs) {
      needs.push_back({{"guid", format_guid(guid)}, {"name", guid_name(guid)}});
    }
    out.push_back({{"name", r.name},
                   {"guid", format_guid(r.guid)},
                   {"state", r.state},
                   {"detail", r.detail},
                   {"order", r.order},
                   {"callers", r.callers},
                   {"needs", std::move(needs)}});
  }
  return out;
}

void print_drivers(std::vector<DriverReport> const& reports) {
  for (auto const& r : reports) {
    fmt::print(stderr, "{}: {}{}{}\n", r.name, r.state, r.detail.empty() ? "" : " ", as_typed(r.detail));
    for (auto const& caller : r.callers) {
      fmt::print(stderr, "  {}\n", caller);
    }
  }
  fmt::print(stderr, "{}\n", describe_dispatch(reports).front());
}

/// Drivers may be missing that nobody has seen.
void print_losses(Losses const& losses) {
  for (auto const& problem : losses.damage) {
    fmt::print(stderr, "problem: {}\n", problem);
  }
  for (auto const& note : losses.not_opened) {
    fmt::print(stderr, "note: {}\n", note);
  }
}

/// Everything that goes to standard error in text mode.
void print_about(SendOptions const& o, Prepared const& p, MachineRun const& run, std::string const& where,
                 std::vector<DriverReport> const& drivers, Losses const& losses) {
  if (p.release) {
    fmt::print(stderr, "the release core: what became of the drivers is told by no event\n");
  } else {
    print_drivers(drivers);
  }
  print_losses(losses);
  for (auto const cpu : run.outside) {
    fmt::print(stderr, "CPU {} is outside MM after the halt\n", cpu);
  }
  for (auto const& warning : p.warnings) {
    fmt::print(stderr, "warning: {}\n", warning);
  }
  if (o.verbose) {
    std::cerr << serial_text(run.serial);
    for (auto const& line : transcript(p, run)) {
      std::cerr << line << '\n';
    }
  }
  if (run.halted) {
    fmt::print(stderr, "the machine halted {}: {}{}\n", where, halt_name(*run.halted),
               run.text.empty() ? "" : ", " + run.text.back());
  } else if (run.ended) {
    fmt::print(stderr, "the machine ended {}: {}{}\n", where, end_name(*run.ended),
               run.text.empty() ? "" : fmt::format(", {}", fmt::join(run.text, "; ")));
  } else if (run.boot_failed) {
    fmt::print(stderr, "the boot failed{}\n", run.text.empty() ? "" : ": " + run.text.back());
  }
}

void print_results(SendOptions const& o, Prepared const& p, MachineRun const& run,
                   std::vector<DriverReport> const& drivers, Losses const& losses) {
  if (!o.messages.empty()) {
    for (std::size_t i = 0; i < p.scenario.steps.size(); ++i) {
      std::cout << reply_line(outcome_of(p, run, i));
    }
  } else if (o.json) {
    json out = result_json(outcome_of(p, run, 0));
    out["schema"] = 1;
    out["drivers"] = to_json(drivers);
    out["problems"] = losses.damage;
    out["notes"] = losses.not_opened;
    out["serial"] = run.serial;
    out["halted"] = run.halted ? json(halt_name(*run.halted)) : json(nullptr);
    out["ended"] = run.ended ? json(end_name(*run.ended)) : json(nullptr);
    out["stopped"] = run.complete ? json(nullptr) : json(where_it_stopped(p, run));
    std::cout << json_text(out);
  } else {
    print_reply(outcome_of(p, run, 0));
  }
}

std::expected<MachineRun, std::string> run_on(SendOptions const& o, Prepared& p) {
  if (o.target == "sim") {
    return simulator().run(p);
  }
  p.qemu.limit = std::chrono::seconds{o.seconds};
  apply(o.qemu, p);
  Waiting const waiting{o.seconds};
  std::vector<std::string> owed;
  auto run = run_and_repeat(p, owed);
  for (auto const& line : owed) {
    fmt::print(stderr, "{}\n", line);
  }
  return run;
}

/// The exit code, once expectation and coverage are told.
int finish(SendOptions const& o, Prepared const& p, MachineRun const& run, Expectation const& expectation, int code) {
  if (auto const other = expectation.disappointment()) {
    fmt::print(stderr, "{}\n", *other);
    code = kFailed;
  }
  o.coverage->add(p, run);
  auto const written = o.coverage->write();
  if (written && !*written) {
    return complain(written->error());
  }
  if (written) {
    fmt::print(stderr, "{}\n", **written);
  }
  return code;
}

/// kFailed: the machine stopped, a driver that was given faulted, or none of them was dispatched.
int exit_code(MachineRun const& run, std::vector<DriverReport> const& drivers, std::size_t given, bool told) {
  bool const faulted = std::ranges::find(drivers, "faulted", &DriverReport::state) != drivers.end();
  bool const idle = told && given != 0 && std::ranges::all_of(drivers, [](auto const& d) { return d.order == 0; });
  return run.complete && !faulted && !idle ? kPassed : kFailed;
}

/// The messages of a file, sent some at a time.
int send_many(SendOptions const& o, Prepared const& p, std::vector<Message> const& messages, DriverSet const& set,
              Expectation expectation) {
  auto const stream = send_stream(p, messages, expectation);
  if (!stream) {
    return complain(stream.error(), kEnvironment);
  }
  std::fflush(stdout);
  auto drivers = report_drivers(p, stream->run);
  drivers.insert(drivers.end(), set.not_run.begin(), set.not_run.end());
  print_about(o, p, stream->run, where_it_stopped(*stream, p, messages), drivers, set.losses);
  return finish(o, p, stream->run, expectation, exit_code(stream->run, drivers, set.images.size(), !p.release));
}

/// Whether a message was given, be it an empty one.
bool has_message(SendOptions const& o) { return !(o.hex + o.text).empty() || !o.file.empty() || !o.messages.empty(); }

/// What the drivers answer to, when that was asked for or has to be known before a message can be sent; nothing: go on.
std::optional<int> list_command(SendOptions& o) {
  bool const a_driver = !o.to.empty() && !find_guid(o.to);
  bool const nobody = o.to.empty() && o.messages.empty();
  if (!o.judged.list && !a_driver && !nobody) {
    return std::nullopt;
  }
  if (nobody && o.machine.images.empty() && o.machine.volumes.empty()) {
    return complain("send: --image or --fv, --to (with --hex, --text or --file) or --messages is missing");
  }
  auto const found = find_interfaces(o.machine);
  if (!found) {
    return complain(found.error());
  }
  if (o.judged.list || (nobody && !has_message(o))) {
    return print_interfaces(*found, o.json);
  }
  if (nobody) {
    print_interfaces(*found, false);
    return complain("send: --to is missing: the GUID of a handler above, or the name of a driver that has one");
  }
  auto const handler = only_handler(found->drivers, o.to);
  if (!handler) {
    return complain(fmt::format("{} ({})", handler.error(), find_guid(o.to).error()));
  }
  o.to = format_guid(*handler);
  return std::nullopt;
}

/// Boots one machine with the images, sends the message (or every message of a file) and prints what comes back.
int send_command(SendOptions const& o) {
  auto expectation = Expectation::parse(o.judged.expect);
  if (!expectation) {
    return complain(expectation.error());
  }
  auto const messages = messages_of(o);
  if (!messages) {
    return complain(messages.error());
  }
  auto given = machine_of(o.machine, "send");
  if (!given) {
    return complain(given.error());
  }
  DriverSet const& set = given->drivers;
  if (set.images.empty() && set.not_run.empty()) {
    std::cerr << "mmsim: send: no driver was given (--image, --fv): only the cores can answer\n";
  }
  auto scenario = with_messages(o, std::move(given->scenario), *messages);
  if (auto const chosen = choose_core(o.qemu, scenario); !chosen) {
    return complain(chosen.error());
  }
  auto prepared = prepare(std::move(scenario), images_folder());
  if (!prepared) {
    return complain(prepared.error());
  }
  prepared->coverage = o.coverage->wanted();
  if (streams(o)) {
    return send_many(o, *prepared, *messages, set, *expectation);
  }
  auto const run = run_on(o, *prepared);
  if (!run) {
    return complain(run.error(), kEnvironment);
  }
  auto drivers = prepared->release ? std::vector<DriverReport>{} : report_drivers(*prepared, *run);
  drivers.insert(drivers.end(), set.not_run.begin(), set.not_run.end());
  if (!o.json || !o.messages.empty()) {
    print_about(o, *prepared, *run, where_it_stopped(*prepared, *run), drivers, set.losses);
  }
  print_results(o, *prepared, *run, drivers, set.losses);
  std::cout.flush();
  for (std::size_t i = 0; i < prepared->scenario.steps.size(); ++i) {
    expectation->see(outcome_of(*prepared, *run, i));
  }
  return finish(o, *prepared, *run, *expectation, exit_code(*run, drivers, set.images.size(), !prepared->release));
}

}  // namespace

Command add_send_command(Arguments program) {
  auto const o = std::make_shared<SendOptions>();
  auto send = program.command("send", "Boot drivers, send messages to them and print the replies");
  add_machine_options(send, o->machine);
  send.option(
      "--to", o->to,
      "Handler GUID, a known name, or the name of a driver with one handler; with --messages for lines without one");
  send.flag("--list", o->judged.list, "Send nothing: say what the drivers answer to, wait for, and used to start");
  auto data = send.at_most_one("message");
  data.option("--hex", o->hex, "Message as hexadecimal digits");
  data.option("--text", o->text, "Message as text");
  data.option("--file", o->file, "Message is the content of this file");
  data.option("--messages", o->messages, "One JSON object a line: {\"to\": GUID, \"data_hex\": \"..\"}");
  send.option("--expect", o->judged.expect,
              "Status of every answer: a name or a number; exit code 1 when one is another");
  send.option("--channel", o->channel, "Communicate channel").one_of(std::vector<std::string>{"user", "supervisor"});
  send.option("--fault-policy", o->fault_policy, "What a fault of a driver does")
      .one_of(std::vector<std::string>{"contain", "fail-stop"});
  auto const target =
      send.option("--target", o->target, "Machine: sim or qemu").one_of(std::vector<std::string>{"sim", "qemu"});
  add_qemu_options(send, o->qemu);
  send.option("--seconds", o->seconds, "Stop QEMU after so many seconds").range(1, 3600).shows_default();
  send.flag("--json", o->json, "One JSON object on standard output instead of text");
  send.flag("-v,--verbose", o->verbose, "Print what the drivers write to the serial port, and every event");
  send.option("--coverage", o->coverage->folder(),
              "Count the code of drivers that runs; write drcov, lcov and a page to this folder");
  add_symbol_options(send);
  send.footer(
      "Exit codes: 0 every message was answered, with whatever status; 1 the machine halted or did not boot, a driver "
      "faulted, or none was dispatched; 2 bad input.\n"
      "Examples:\n"
      "  mmsim send --image My.efi:My.depex --list                       what does it answer to?\n"
      "  mmsim send --image My.efi:My.depex --to GUID --hex \"01 00 00 00\"\n"
      "  mmsim send --fv MMFV.fv --messages requests.jsonl --policy policy.xml");
  return {send, [o, target] {
            if (!settle_target(o->qemu, o->target, target.given())) {
              return int{kBadInput};
            }
            if (o->coverage->wanted() && o->target != "sim") {
              return complain("--coverage looks into the simulator: use --target sim");
            }
            if (auto const code = list_command(*o)) {
              return *code;
            }
            return send_command(*o);
          }};
}

}  // namespace mm::runner
