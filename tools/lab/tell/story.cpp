// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/story.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/abi/guids.hpp"
#include "core/abi/syscalls.hpp"
#include "core/communication/communicator.hpp"
#include "core/supervisor/types.hpp"
#include "tools/lab/tell/fault_text.hpp"
#include "tools/lab/tell/places.hpp"
#include "tools/lab/tell/refusal_text.hpp"

namespace mm::lab {
namespace {

using steps::StepOp;
constexpr std::size_t kShownBytes = 12;

std::string counted(std::size_t bytes, std::span<std::byte const> data) {
  return fmt::format("{} byte{}{}{}", bytes, bytes == 1 ? "" : "s", data.empty() ? "" : ": ",
                     format_hex(data, kShownBytes));
}

std::string channel_of(u64 value) {
  return value == static_cast<u64>(abi::Channel::Supervisor) ? "supervisor" : "user";
}

/// A buffer with its header, as far as there is one.
std::string message_of(ScenarioStep const& step, ProgramStep const& one) {
  std::span<std::byte const> const data{one.data};
  auto const on = one.head.a == static_cast<u64>(abi::Channel::Supervisor) ? " (supervisor)" : "";
  if (step.header_bytes == 0 || data.size() < step.header_bytes) {
    return fmt::format("raw buffer{}, {}", on, counted(data.size(), data));
  }
  bool const v3 = step.header_bytes == sizeof(abi::CommunicateHeaderV3);
  Guid to;
  std::memcpy(&to, data.data() + (v3 ? offsetof(abi::CommunicateHeaderV3, message_guid) : 0), sizeof to);
  auto const message = data.subspan(step.header_bytes);
  return fmt::format("to {}{}, {}", guid_name(to), on, counted(message.size(), message));
}

/// GUID of the recipient and message, as the normal world's client takes them.
std::string call_of(ProgramStep const& one) {
  std::span<std::byte const> const data{one.data};
  Guid to;
  std::memcpy(&to, data.data(), sizeof to);
  auto const on = one.head.a == static_cast<u64>(abi::Channel::Supervisor) ? " (supervisor)" : "";
  auto const message = data.subspan(sizeof to);
  return fmt::format("to {}{}, {}", guid_name(to), on, counted(message.size(), message));
}

/// A trapped I/O instruction: `width` is an abi::IoWidth.
std::string trapped_access(steps::Step const& s) {
  bool const in = (s.form & steps::TrappedForm::kIn) != 0;
  auto const bits = 8u << (s.b & 3);
  return in ? fmt::format("IN {} bits from port {}, which is trapped", bits, hex_number(s.a))
            : fmt::format("OUT {} to port {}, which is trapped", hex_number(s.c), hex_number(s.a));
}

std::string sent_by(ScenarioStep const& step) {
  auto const& one = step.program.back();
  auto const& s = one.head;
  switch (static_cast<StepOp>(s.op)) {
    case StepOp::Invalid:
      return "no operation";
    case StepOp::Communicate:
      return message_of(step, one);
    case StepOp::Call:
      return call_of(one);
    case StepOp::UseBuffers:
      return fmt::format("{} channel: buffer {}, mailbox {}", channel_of(s.a), hex_number(s.b), hex_number(s.c));
    case StepOp::Mailbox:
      return fmt::format("{} mailbox, {}", channel_of(s.a), counted(one.data.size(), one.data));
    case StepOp::RawMmi:
      return fmt::format("0xB2 = {:#04x}, 0xB3 = {:#04x}", s.a, s.b);
    case StepOp::SmiTo:
      return fmt::format("SMI to the CPU with APIC ID {}", s.a);
    case StepOp::Ipi:
      return fmt::format("IPI {} to APIC ID {}", hex_number(s.a), s.b);
    case StepOp::Cpu:
      return "registers of the program that raises MMIs";
    case StepOp::Later:
      return "registers that are loaded behind the OUT";
    case StepOp::Park:
      return fmt::format("CPU {} writes to port {} over and over", s.a, hex_number(s.b & 0xFFFF));
    case StepOp::Read:
      return fmt::format("read {} bytes at {}", s.b, hex_number(s.a));
    case StepOp::Write:
      return fmt::format("write at {}, {}", hex_number(s.a), counted(one.data.size(), one.data));
    case StepOp::Fill:
      return fmt::format("fill {} bytes at {} with {:#04x}", s.b, hex_number(s.a), s.c);
    case StepOp::PortIn:
      return fmt::format("IN {} bits from port {}", 8u << s.b, hex_number(s.a));
    case StepOp::PortOut:
      return fmt::format("OUT {} to port {}", hex_number(s.c), hex_number(s.a));
    case StepOp::TrappedIo:
      return trapped_access(s);
    case StepOp::ReadMsr:
      return fmt::format("RDMSR {}", hex_number(s.a));
    case StepOp::WriteMsr:
      return fmt::format("WRMSR {} = {}", hex_number(s.a), hex_number(s.b));
    case StepOp::TimedMmi:
      return fmt::format("{} times OUT to port {}, by the clock", s.a, hex_number(s.b));
  }
  return "";
}

void add_answer(StepStory& out, ScenarioStep const& step, StepOutcome const& got) {
  std::span<std::byte const> const data{got.data};
  out.answered = true;
  switch (static_cast<StepOp>(got.head.op)) {
    case StepOp::Communicate:
    case StepOp::Call:
      out.status = status_text(status_of(step, got));
      if (got.head.value != 0) {
        auto const header = std::min<u64>(step.header_bytes, got.head.value);
        out.reply = counted(got.head.value - header, data.subspan(std::min(data.size(), step.header_bytes)));
      }
      break;
    case StepOp::Read:
      out.reply = counted(data.size(), data);
      break;
    case StepOp::PortIn:
      out.reply = hex_number(got.head.value);
      break;
    case StepOp::ReadMsr:
      out.status = status_text(status_of(step, got));
      out.reply = got.head.status == 0 ? hex_number(got.head.value) : "";
      break;
    case StepOp::WriteMsr:
    case StepOp::Invalid:
      out.status = status_text(status_of(step, got));
      break;
    case StepOp::Mailbox:
    case StepOp::RawMmi:
    case StepOp::SmiTo:
    case StepOp::Write:
    case StepOp::Fill:
    case StepOp::PortOut:
    case StepOp::TimedMmi:
    case StepOp::UseBuffers:
    case StepOp::Cpu:
    case StepOp::TrappedIo:
    case StepOp::Ipi:
    case StepOp::Later:
    case StepOp::Park:
      break;
  }
}

std::size_t events_up_to(MachineRun const& run, std::size_t index) {
  auto const* result = result_at(run, index);
  return result == nullptr ? run.trace.size() : result->events;
}

/// Events up to the first program step of the scenario's own.
std::size_t first_event(Prepared const& p, MachineRun const& run) {
  return p.program.first_step == 0 ? 0 : events_up_to(run, p.program.first_step - 1);
}

std::vector<hal::TraceEvent> slice(MachineRun const& run, std::size_t from, std::size_t to) {
  to = std::min(to, run.trace.size());
  from = std::min(from, to);
  return {run.trace.begin() + static_cast<std::ptrdiff_t>(from), run.trace.begin() + static_cast<std::ptrdiff_t>(to)};
}

/// The procedure of an application processor that ring 3 has not come back from when the machine halts.
std::optional<hal::TraceEvent> procedure_under_way(MachineRun const& run) {
  std::array<std::optional<hal::TraceEvent>, platform::kMaxCpus> inside{};
  for (auto const& e : run.trace) {
    if (e.cpu >= inside.size()) {
      continue;
    }
    if (e.kind == hal::TraceKind::ApProcedure) {
      inside[e.cpu] = e;
    } else if (e.kind == hal::TraceKind::UserExit) {
      inside[e.cpu].reset();
    }
  }
  auto const at = std::ranges::find_if(inside, [](auto const& e) { return e.has_value(); });
  return at == inside.end() ? std::nullopt : *at;
}

std::string advice_on_end(RunEnd end) {
  switch (end) {
    case RunEnd::TimeLimit:
      return "the lines of the CPUs say where it is: in MM with CPL 3 a driver does not come back, outside MM the "
             "normal "
             "world waits";
    case RunEnd::OutputLimit:
      return "a loop that raises MMIs or makes system calls: -v shows the first events";
    case RunEnd::Reset:
      return "a step reset or switched off the machine, or took the memory of the normal world's own code away; "
             "expect it by `reset = true` in [expect], and `halts = true` at the step";
    case RunEnd::Ring3ReachedRing0:
      return "a register that ring 0 stands on was written for ring 3: the last Syscall events say which";
    case RunEnd::Stopped:
      break;
  }
  return "the release core does not say why it halts: run without --release";
}

/// The last system call, which stopped the machine.
std::string advice_on_refused_call(Prepared const& p, MachineRun const& run) {
  for (std::size_t i = run.trace.size(); i-- != 0;) {
    auto const& e = run.trace[i];
    if (e.kind != hal::TraceKind::Syscall) {
      continue;
    }
    auto const who = CodePlaces{p, run.trace}.asker(run, i);
    auto const call =
        syscall_text(static_cast<u64>(hal::unpack<hal::event::Syscall>(e).number)) + (who.empty() ? "" : ", " + who);
    auto const* const refusal = refusal_before(run.trace, i);
    return fmt::format("{}: {}", call,
                       refusal != nullptr ? refusal_text(*refusal)
                                          : "the last Syscall event has its arguments and the status that refused it");
  }
  return "-v shows every event up to the Halt";
}

std::string advice_on_halt(Prepared const& p, MachineRun const& run) {
  if (auto const procedure = procedure_under_way(run)) {
    return fmt::format(
        "CPU {} is inside the procedure that CPU {} gave it and has not come back: a loop there (the "
        "ApProcedure event names it)",
        procedure->cpu, procedure->c);
  }
  switch (run.halted.value_or(hal::HaltReason::InitFailed)) {
    case hal::HaltReason::UserFault:
      return "the lines of the drivers above have place and callers; fault_policy = \"contain\" lets the other drivers "
             "go on";
    case hal::HaltReason::SyscallRefused:
      return advice_on_refused_call(p, run);
    case hal::HaltReason::PolicyInvalid:
      return "the blob is malformed: b of the Halt event is the policy::Problem, c the offset";
    case hal::HaltReason::RendezvousTimeout:
      return "a CPU did not join the MMI: b of the Halt event is how many did";
    case hal::HaltReason::UserBudget:
      return "ring 3 did not come back: a loop in the driver whose handler was entered last";
    case hal::HaltReason::SupervisorFault:
    case hal::HaltReason::InitFailed:
    case hal::HaltReason::RsmBreach:
      break;
  }
  return "-v shows every event up to the Halt";
}

}  // namespace

std::vector<StepStory> tell(Prepared const& p, MachineRun const& run) {
  std::vector<StepStory> out;
  std::size_t from = first_event(p, run);
  for (std::size_t i = 0; i < p.scenario.steps.size() && !run.boot_failed; ++i) {
    auto const& step = p.scenario.steps[i];
    auto& told = out.emplace_back();
    told.number = i + 1;
    told.kind = step.kind;
    told.title = step.title == step.kind ? "" : step.title;
    told.line = step.line;
    told.sent = sent_by(step);
    told.result = result_at(run, p.program.last_of_step[i]);
    auto const to = told.result == nullptr ? run.trace.size() : told.result->events;
    told.events = slice(run, from, to);
    from = to;
    if (told.result == nullptr) {
      break;
    }
    add_answer(told, step, *told.result);
  }
  return out;
}

std::vector<hal::TraceEvent> events_before_steps(Prepared const& p, MachineRun const& run) {
  return slice(run, 0, first_event(p, run));
}

std::string advice(Prepared const& p, MachineRun const& run, Problem const& problem) {
  if (problem.what == "the machine" || (problem.what == "halt" && (run.halted || run.ended))) {
    return run.ended ? advice_on_end(*run.ended) : advice_on_halt(p, run);
  }
  if (run.boot_failed && std::ranges::any_of(p.scenario.images, [](auto const& i) { return i.fv.has_value(); })) {
    return "`fv` boots a whole volume on its own cores, `drivers` takes its MM drivers alone; `mmsim images FILE` "
           "lists it";
  }
  if (run.boot_failed) {
    return "`mmsim images FILE` shows what is wrong with an image or a volume; -v shows the loader's events";
  }
  if (problem.what == "status" && problem.actual.starts_with(status_text(static_cast<u64>(Status::NotFound)))) {
    bool const waiting = std::ranges::any_of(run.trace, [](hal::TraceEvent const& e) {
      auto const told = hal::as<hal::event::UserNote>(e);
      return told && told->note == abi::UserNote::DriverWaiting;
    });
    return waiting
               ? "a driver still waits for its dependency (DriverWaiting with -v)"
               : "no handler took the message, or it answered with an error: HandlerReturned with -v says which; is "
                 "the driver in `images`, and `to` the GUID of its handler?";
  }
  if (problem.what == "status" &&
      problem.actual.starts_with(status_text(static_cast<u64>(communication::kUntouched)))) {
    return "the mailbox was not served: is its valid byte 1, and the other channel not pending before it?";
  }
  if (problem.what.starts_with("event")) {
    return "-v shows every event in order; `--transcript FILE` keeps them";
  }
  return p.scenario.steps.size() > 1 && problem.step ? "-v shows the events of every step" : "";
}

}  // namespace mm::lab
