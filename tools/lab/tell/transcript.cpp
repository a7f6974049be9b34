// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/transcript.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "core/abi/guids.hpp"
#include "core/abi/syscalls.hpp"
#include "core/supervisor/init_problem.hpp"
#include "tools/lab/tell/fault_text.hpp"
#include "tools/lab/tell/symbols.hpp"

namespace mm::lab {
namespace {

struct Region {
  std::string name;
  u64 base = 0;
  u64 bytes = 0;
  std::filesystem::path map{};  ///< the linker's, of an image
};

/// Renders events; addresses as region+offset.
class Renderer {
 public:
  Renderer(Prepared const& p, std::vector<hal::TraceEvent> const& trace) {
    for (auto const& e : trace) {
      if (e.kind == hal::TraceKind::ImageLoaded) {
        Guid const guid = guid_of_words(e.c, e.d);
        regions_.push_back({image_name(p, guid), e.a, e.b, map_of(p, guid)});
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
  /// The linker's map of an image that was loaded under this GUID.
  static std::filesystem::path map_of(Prepared const& p, Guid const& guid) {
    for (auto const& image : p.scenario.images) {
      if (image.guid == guid) {
        return std::filesystem::path{image.file}.replace_extension(".map");
      }
    }
    bool const user = guid == guids::gMmSupervisorUserGuid;
    return p.images / (user ? "MmUserCore.map" : "MmSupervisorCore.map");
  }
  /// An address of code: with the function that holds it, where a map is there.
  std::string code(u64 address) const {
    for (auto const& r : regions_) {
      if (address - r.base < r.bytes) {
        auto const symbol = Symbols::load(r.map).at(address - r.base);
        return symbol ? fmt::format("{} ({})", at(address), *symbol) : at(address);
      }
    }
    return at(address);
  }
  /// One of the four events that tell ring 3's registers.
  std::string registers(hal::TraceEvent const& e) const {
    constexpr std::string_view kNames[4][5] = {{"RAX", "RBX", "RCX", "RDX", "RSI"},
                                               {"RDI", "RBP", "RSP", "R8", "R9"},
                                               {"R10", "R11", "R12", "R13", "R14"},
                                               {"R15", "RIP", "RFLAGS", "CR2", "error"}};
    u64 const values[] = {e.b, e.c, e.d, e.e, e.f};
    std::string out = "Registers";
    for (std::size_t i = 0; i < 5; ++i) {
      out += fmt::format(" {}={}", kNames[e.a & 3][i], at(values[i]));
    }
    return out;
  }
  std::string at(u64 address) const {
    for (auto const& r : regions_) {
      if (address - r.base < r.bytes) {
        return fmt::format("{}+{:#x}", r.name, address - r.base);
      }
    }
    return hex_number(address);
  }
  static std::string channel(u64 value) { return value == 0 ? "supervisor" : value == 1 ? "user" : "none"; }
  static std::string exit_kind(u64 value) {
    constexpr std::string_view kNames[] = {"syscall", "return", "fault", "budget"};
    return value < 4 ? std::string{kNames[value]} : hex_number(value);
  }

  std::string body(hal::TraceEvent const& e) const {
    using K = hal::TraceKind;
    switch (e.kind) {
      case K::CopyIn:
        return fmt::format("CopyIn {} {} bytes", channel(e.a), e.b);
      case K::RequestDecoded:
        return fmt::format("RequestDecoded {} to {} {} bytes v{}", channel(e.a), guid_name(guid_of_words(e.b, e.c)),
                           e.d, e.e);
      case K::RequestRefused:
        return fmt::format("RequestRefused {} {}", channel(e.a), status_text(e.b));
      case K::UserEnter:
        return fmt::format("UserEnter command {} {}", e.a, at(e.b));
      case K::UserExit:
        return fmt::format("UserExit {} rax {}{}", exit_kind(e.a), e.a == 0 ? hex_number(e.b) : status_text(e.b),
                           e.c == 0 ? "" : fmt::format(", {} system calls before it are no events", e.c));
      case K::Syscall:
        return fmt::format("Syscall {} ({}, {}, {}) = {} {}", hex_number(e.a), at(e.b), at(e.c), at(e.d), at(e.e),
                           status_text(e.f));
      case K::Fault:
        return fmt::format("Fault vector {} error {} at {} cr2 {} command {}", e.a, hex_number(e.b), code(e.c), at(e.d),
                           e.f);
      case K::SupervisorFault:
        return fmt::format("SupervisorFault vector {} error {} at {} cr2 {}", e.a, hex_number(e.b), code(e.c), at(e.d));
      case K::Registers:
        return registers(e);
      case K::Telemetry:
        return fmt::format("Telemetry {} at {}, image at {}", cause_text(e.b, e.c, e.e, at(e.e)), code(e.d),
                           hex_number(e.f));
      case K::Contained:
        return fmt::format("Contained {}", at(e.a));
      case K::ApProcedure:
        return fmt::format("ApProcedure {} argument {} for cpu {}", at(e.a), at(e.b), e.c);
      case K::CopyOut:
        return fmt::format("CopyOut {} {} bytes hash {:016x}", channel(e.a), e.b, e.c);
      case K::MmiExit:
        return fmt::format("MmiExit {} {} size {}", channel(e.a), status_text(e.b), e.c);
      case K::Unblocked:
        return fmt::format("Unblocked {} pages {} {}", at(e.a), e.b, status_text(e.c));
      case K::UserNote:
        if (e.a == static_cast<u64>(abi::UserNote::DriverNeeds)) {
          return fmt::format("UserNote DriverNeeds {}", guid_name(guid_of_words(e.b, e.c)));
        }
        return fmt::format("UserNote {} {} {}", note(e.a), at(e.b), e.a == 2 || e.a == 5 ? status_text(e.c) : at(e.c));
      case K::ImageLoaded:
        return fmt::format("ImageLoaded {} {} bytes {}", at(e.a), hex_number(e.b), e.e == 1 ? "user" : "supervisor");
      case K::ImageRefused:
        return fmt::format("ImageRefused {} {}", guid_name(guid_of_words(e.c, e.d)), status_text(e.b));
      case K::Halt: {
        if (e.a == static_cast<u64>(hal::HaltReason::InitFailed)) {
          auto const why = static_cast<supervisor::InitProblem>(e.c);
          return fmt::format("Halt InitFailed {} {}: {}", status_text(e.b), at(e.d), supervisor::describe(why));
        }
        bool const has_rip = e.a == 1 || e.a == 3;
        return fmt::format("Halt {} {} {}", halt_name(static_cast<hal::HaltReason>(e.a)), hex_number(e.b),
                           has_rip ? code(e.c) : status_text(e.c));
      }
      case K::UserPageAllocated:
      case K::UserPageFreed:
        return fmt::format("{} {} pages {}", event_name(e.kind), at(e.a), e.b);
      case K::MemoryMap:
        return fmt::format("MemoryMap {} {} bytes {}", at(e.a), hex_number(e.b), rights(e.c));
      default:
        return plain(e);
    }
  }
  static std::string rights(u64 value) {
    return fmt::format("{} {}", (value & 2) != 0 ? "user" : "supervisor",
                       (value & 4) != 0   ? "RX"
                       : (value & 1) != 0 ? "RW"
                                          : "R");
  }
  static std::string note(u64 value) {
    constexpr std::string_view kNames[] = {"?",
                                           "DriverEntered",
                                           "DriverReturned",
                                           "DriverWaiting",
                                           "HandlerEntered",
                                           "HandlerReturned",
                                           "DriverContained"};
    return value < 7 ? std::string{kNames[value]} : hex_number(value);
  }
  static std::string plain(hal::TraceEvent const& e) {
    auto const name = event_name(e.kind);
    std::string out = name.empty() ? fmt::format("Event{}", static_cast<unsigned>(e.kind)) : std::string{name};
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
