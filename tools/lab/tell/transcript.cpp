// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/transcript.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "core/abi/guids.hpp"
#include "core/abi/heap_guard.hpp"
#include "core/abi/syscalls.hpp"
#include "core/supervisor/init_problem.hpp"
#include "tools/lab/tell/fault_text.hpp"
#include "tools/lab/tell/places.hpp"
#include "tools/lab/tell/refusal_text.hpp"

namespace mm::lab {
namespace {

namespace event = hal::event;

struct Region {
  std::string name;
  u64 base = 0;
  u64 bytes = 0;
};

/// Renders events; addresses as region+offset.
class Renderer {
 public:
  Renderer(Prepared const& p, std::vector<hal::TraceEvent> const& trace) : code_(p, trace) {
    for (auto const& e : trace) {
      if (e.kind == hal::TraceKind::ImageLoaded) {
        auto const loaded = hal::unpack<event::ImageLoaded>(e);
        regions_.push_back({image_name(p, loaded.guid), loaded.base, loaded.bytes});
      }
    }
    auto const& boot = p.scenario.boot;
    regions_.push_back({"user-comm", platform::kUserCommBuffer, platform::kCommPages * kPageSize});
    regions_.push_back({"supervisor-comm", platform::kSupervisorCommBuffer, platform::kCommPages * kPageSize});
    regions_.push_back({"scratch", platform::kScratch, platform::kScratchSize});
    regions_.push_back({"mmram", boot.ram_bytes - boot.tseg_bytes, boot.tseg_bytes});
  }

  std::string line(hal::TraceEvent const& e) const { return fmt::format("mmi {} cpu {} {}", e.mmi, e.cpu, body(e)); }

 private:
  /// An address of code: with function and line, where they are known.
  std::string code(u64 address) const {
    auto const names = code_.names(address);
    return names.empty() ? at(address) : fmt::format("{} ({})", at(address), names);
  }
  std::string at(u64 address) const {
    for (auto const& r : regions_) {
      if (address - r.base < r.bytes) {
        return fmt::format("{}+{:#x}", r.name, address - r.base);
      }
    }
    return hex_number(address);
  }
  static std::string channel(hal::Word<abi::Channel> which) {
    return which.raw() == 0 ? "supervisor" : which.raw() == 1 ? "user" : "none";
  }
  /// An enumerator by its name, another value as a number.
  template <typename E>
  static std::string name(E value) {
    char const* const known = name_of(value);
    return known != nullptr ? std::string{known} : hex_number(static_cast<u64>(value));
  }

  /// The struct of the event in a sentence, where there is one for it.
  std::string body(hal::TraceEvent const& e) const {
    std::string out;
    bool const known = hal::visit(e, [&](auto const& event) {
      if constexpr (requires { text(event); }) {
        out = text(event);
      } else {
        out = plain(e);
      }
    });
    return known ? out : plain(e);
  }
  std::string text(event::CopyIn const& e) const {
    return fmt::format("CopyIn {} {} bytes", channel(e.channel), e.bytes);
  }
  std::string text(event::RequestDecoded const& e) const {
    return fmt::format("RequestDecoded {} to {} {} bytes v{}", channel(e.channel), guid_name(e.guid), e.message_bytes,
                       e.version);
  }
  std::string text(event::RequestRefused const& e) const {
    return fmt::format("RequestRefused {} {}", channel(e.channel), status_text(static_cast<u64>(e.status)));
  }
  std::string text(event::UserEnter const& e) const {
    return fmt::format("UserEnter command {} {}", static_cast<u64>(e.command), at(e.argument));
  }
  std::string text(event::UserExit const& e) const {
    bool const syscall = e.kind == hal::UserExitKind::Syscall;
    return fmt::format("UserExit {} rax {}{}", name(e.kind), syscall ? hex_number(e.rax) : status_text(e.rax),
                       e.untold == 0 ? "" : fmt::format(", {} system calls before it are no events", e.untold));
  }
  std::string text(event::Syscall const& e) const {
    auto const number = static_cast<u64>(e.number);
    // An address that is one is told by its region; what is none reads as arguments_text() says.
    auto const first_two = at(e.second) == hex_number(e.second) ? arguments_text(number, at(e.first), e.second)
                                                                : at(e.first) + ", " + at(e.second);
    return fmt::format("Syscall {} ({}, {}) = {} {}", syscall_text(number), first_two, at(e.third), at(e.rax),
                       status_text(static_cast<u64>(e.status)));
  }
  std::string text(event::PolicyRefusal const& e) const {
    return fmt::format("PolicyRefusal {}{}", refused_access(e), e.by_core != 0 ? " by the core" : "");
  }
  std::string text(event::Fault const& e) const {
    return fmt::format("Fault vector {} error {} at {} cr2 {} command {}", e.vector, hex_number(e.error), code(e.rip),
                       at(e.cr2), static_cast<u64>(e.command));
  }
  std::string text(event::SupervisorFault const& e) const {
    return fmt::format("SupervisorFault vector {} error {} at {} cr2 {}", e.vector, hex_number(e.error), code(e.rip),
                       at(e.cr2));
  }
  std::string text(event::Registers const& e) const {
    constexpr std::string_view kNames[4][5] = {{"RAX", "RBX", "RCX", "RDX", "RSI"},
                                               {"RDI", "RBP", "RSP", "R8", "R9"},
                                               {"R10", "R11", "R12", "R13", "R14"},
                                               {"R15", "RIP", "RFLAGS", "CR2", "error"}};
    std::string out = "Registers";
    for (std::size_t i = 0; i < e.values.size(); ++i) {
      out += fmt::format(" {}={}", kNames[e.part & 3][i], at(e.values[i]));
    }
    return out;
  }
  std::string text(event::Telemetry const& e) const {
    return fmt::format("Telemetry {} at {}, image at {}", cause_text(e.vector, e.error, e.cr2, at(e.cr2)), code(e.rip),
                       hex_number(e.image));
  }
  std::string text(event::Contained const& e) const { return fmt::format("Contained {}", at(e.image)); }
  std::string text(event::ApProcedure const& e) const {
    return fmt::format("ApProcedure {} argument {} for cpu {}", at(e.procedure), at(e.argument), e.caller);
  }
  std::string text(event::CopyOut const& e) const {
    return fmt::format("CopyOut {} {} bytes hash {:016x}", channel(e.channel), e.bytes, e.hash);
  }
  std::string text(event::MmiExit const& e) const {
    return fmt::format("MmiExit {} {} size {}", channel(e.channel), status_text(e.status), e.bytes);
  }
  std::string text(event::Unblocked const& e) const {
    return fmt::format("Unblocked {} pages {} {}", at(e.base), e.pages, status_text(static_cast<u64>(e.status)));
  }
  std::string text(event::UserNote const& e) const {
    if (e.note == abi::UserNote::DriverNeeds || e.note == abi::UserNote::HandlerRegistered) {
      return fmt::format("UserNote {} {}", name(e.note), guid_name(guid_of_words(e.first, e.second)));
    }
    if (e.note == abi::UserNote::DriverDefect) {
      return fmt::format("UserNote DriverDefect {} {}", name(static_cast<abi::DriverDefect>(e.first)), at(e.second));
    }
    bool const status = e.note == abi::UserNote::DriverReturned || e.note == abi::UserNote::HandlerReturned;
    return fmt::format("UserNote {} {} {}", name(e.note), at(e.first), status ? status_text(e.second) : at(e.second));
  }
  std::string text(event::ImageLoaded const& e) const {
    return fmt::format("ImageLoaded {} {} bytes {}", at(e.base), hex_number(e.bytes),
                       e.user == 1 ? "user" : "supervisor");
  }
  std::string text(event::ImageRefused const& e) const {
    return fmt::format("ImageRefused {} {}", guid_name(e.guid), status_text(static_cast<u64>(e.status)));
  }
  std::string text(event::Halt const& e) const {
    if (e.reason == hal::HaltReason::InitFailed) {
      auto const why = static_cast<supervisor::InitProblem>(e.second);
      return fmt::format("Halt InitFailed {} {}: {}", status_text(e.first), at(e.third), supervisor::describe(why));
    }
    bool const has_rip = e.reason == hal::HaltReason::UserFault || e.reason == hal::HaltReason::SupervisorFault;
    return fmt::format("Halt {} {} {}", halt_name(e.reason), hex_number(e.first),
                       has_rip ? code(e.second) : status_text(e.second));
  }
  std::string text(event::UserPageAllocated const& e) const {
    return fmt::format("UserPageAllocated {} pages {}", at(e.base), e.pages);
  }
  std::string text(event::UserPageFreed const& e) const {
    return fmt::format("UserPageFreed {} pages {}", at(e.base), e.pages);
  }
  /// "Hello+0x2000 0x1000 bytes": one such for each image that the range lies in, and for what is between them.
  std::string parts(Range range) const {
    std::string out;
    while (range.size != 0) {
      u64 size = range.size;
      for (auto const& image : code_.images()) {
        for (u64 const border : {image.where.base, image.where.end()}) {
          size = border > range.base ? std::min(size, border - range.base) : size;
        }
      }
      out += fmt::format("{}{} {} bytes", out.empty() ? "" : ", ", at(range.base), hex_number(size));
      range = {range.base + size, range.size - size};
    }
    return out;
  }
  std::string text(event::MemoryMap const& e) const {
    bool const executable = (e.rights & event::MemoryMap::kExecutable) != 0;
    bool const writable = (e.rights & event::MemoryMap::kWritable) != 0;
    return fmt::format("MemoryMap {} {} {}", parts({e.base, e.bytes}),
                       (e.rights & event::MemoryMap::kUser) != 0 ? "user" : "supervisor",
                       executable ? "RX"
                       : writable ? "RW"
                                  : "R");
  }
  /// Any other: its words as they are.
  static std::string plain(hal::TraceEvent const& e) {
    auto const known = event_name(e.kind);
    std::string out = known.empty() ? fmt::format("Event{}", static_cast<unsigned>(e.kind)) : std::string{known};
    u64 const values[] = {e.a, e.b, e.c, e.d, e.e, e.f};
    std::size_t used = 6;
    while (used > 0 && values[used - 1] == 0) {
      --used;
    }
    for (std::size_t i = 0; i < used; ++i) {
      out += " " + hex_number(values[i]);
    }
    return out;
  }

  CodePlaces code_;
  std::vector<Region> regions_;
};

}  // namespace

std::vector<hal::TraceEvent> in_order(std::vector<hal::TraceEvent> const& events) {
  std::vector<std::size_t> order(events.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return std::tuple{events[i].mmi, events[i].cpu, i}; });
  std::vector<hal::TraceEvent> out;
  for (std::size_t const i : order) {
    out.push_back(events[i]);
  }
  return out;
}

std::vector<std::string> render(Prepared const& prepared, MachineRun const& run,
                                std::vector<hal::TraceEvent> const& events) {
  Renderer const renderer{prepared, run.trace};
  std::vector<std::string> lines;
  for (auto const& e : events) {
    lines.push_back(renderer.line(e));
  }
  return lines;
}

std::vector<std::string> transcript(Prepared const& prepared, MachineRun const& run) {
  return render(prepared, run, in_order(run.trace));
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

}  // namespace mm::lab
