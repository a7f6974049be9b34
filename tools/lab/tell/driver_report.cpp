// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <utility>

#include "core/abi/platform.hpp"
#include "core/supervisor/types.hpp"
#include "tools/lab/firmware/image_text.hpp"
#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/tell/driver_report.hpp"
#include "tools/lab/tell/fault_text.hpp"
#include "tools/lab/tell/places.hpp"
#include "tools/lab/tell/refusal_text.hpp"

namespace mm::lab {
namespace {

constexpr u64 kPageFault = 14;
constexpr u64 kFetch = 0x10;  ///< in the error code of a page fault

/// What ring 3 prints by system call to COM1 and the debug console, by lines.
class PrintedText {
 public:
  void see(hal::TraceEvent const& e) {
    if (e.kind != hal::TraceKind::Syscall || e.a != static_cast<u64>(abi::Syscall::IoWrite) || e.f != 0) {
      return;
    }
    if (e.b == kLineControl) {
      divisor_latch_ = (e.d & 0x80) != 0;
    } else if ((e.b == kCom1 && !divisor_latch_) || e.b == platform::kPortDebugConsole) {
      add(static_cast<char>(e.d));
    }
  }
  void forget() { lines_ = {}; }
  /// The last line that is not empty.
  std::string const& last() const { return lines_[lines_[1].empty() ? 0 : 1]; }

 private:
  static constexpr u64 kCom1 = 0x3F8;
  static constexpr u64 kLineControl = 0x3FB;
  static constexpr std::size_t kMostOfALine = 200;

  void add(char c) {
    if (c == '\n' || c == '\r') {
      lines_[0] = last();
      lines_[1].clear();
    } else if (lines_[1].size() < kMostOfALine) {
      lines_[1].push_back(c >= ' ' && c <= '~' ? c : '.');
    }
  }

  std::array<std::string, 2> lines_;  ///< the last that ended, and the one that goes on
  bool divisor_latch_ = false;
};

Bytes content_of(ImageSpec const& image) {
  return image.content ? *image.content : read_file(image.file).value_or(Bytes{});
}

/// Follows one driver through the trace.
class DriverTrack {
 public:
  DriverTrack(ImageSpec const& spec, CodePlaces const& places, MachineRun const& run)
      : spec_(spec), places_(places), run_(run) {
    report_ = {spec.name, spec.guid, "not loaded", {}};
  }

  /// Finds the image's own loader event, the first of its GUID that is not `used`.
  void load(std::vector<hal::TraceEvent> const& trace, std::vector<bool>& used) {
    for (std::size_t i = 0; i < trace.size(); ++i) {
      auto const& e = trace[i];
      bool const about = e.kind == hal::TraceKind::ImageLoaded || e.kind == hal::TraceKind::ImageRefused;
      if (!about || used[i] || guid_of_words(e.c, e.d) != spec_.guid) {
        continue;
      }
      used[i] = true;
      loaded_ = e.kind == hal::TraceKind::ImageLoaded;
      image_ = loaded_ ? Range{e.a, e.b} : Range{};
      report_.state = loaded_ ? "not dispatched" : "refused";
      report_.detail = loaded_ ? "" : "by the loader: " + efi_status_name(e.b);
      return;
    }
  }

  /// Event `at` of the run.
  void see(std::size_t at) {
    auto const& e = run_.trace[at];
    if (!loaded_) {
      return;
    }
    printed_.see(e);
    if (e.kind == hal::TraceKind::UserNote) {
      user_note(e);
    } else if (e.kind == hal::TraceKind::Fault) {
      last_ = e;
      stopped_ = at;
      if (running_ || image_.contains({e.c, 1})) {
        fault(e);
      }
    } else if (e.kind == hal::TraceKind::PolicyRefusal) {
      policy_ = e;
    } else if (e.kind == hal::TraceKind::Syscall && e.f == 0) {
      policy_.reset();
    } else if (e.kind == hal::TraceKind::Syscall) {
      last_ = e;
      stopped_ = at;
      why_ = std::exchange(policy_, std::nullopt);
      if (running_) {
        report_.detail = where() + refusal();
      }
    }
  }

  DriverReport take() && {
    if (report_.state == "waiting") {
      report_.detail = waiting_for();
    }
    if (report_.state == "running") {
      report_.detail += last_words();
    }
    if (report_.state == "faulted") {
      report_.callers = places_.callers(run_, fault_);
    }
    return std::move(report_);
  }

 private:
  std::string where() const { return running_ ? "in its entry point: " : "in a handler: "; }

  std::string refusal() const {
    return fmt::format("system call {} ({}) refused: {}", syscall_text(last_->a),
                       arguments_text(last_->a, hex_number(last_->b), last_->c), efi_status_name(last_->f)) +
           (why_ ? ": " + refusal_text(*why_) : "");
  }

  std::string place(u64 rip) const {
    auto const* const image = places_.image_at(rip);
    if (image == nullptr) {
      return fmt::format("at {}, outside every image", hex_number(rip));
    }
    auto const names = places_.names(rip);
    return fmt::format("at {} offset {}{}{}", image->where.base == image_.base ? "image" : image->name,
                       hex_number(rip - image->where.base), names.empty() ? "" : ", ", names);
  }

  /// The instruction, and what to do when ring 3 may not execute it.
  std::string instruction(u64 rip) const {
    if (!image_.contains({rip, 1})) {
      return {};
    }
    auto const found = instruction_at(content_of(spec_), rip - image_.base);
    if (!found) {
      return {};
    }
    return fmt::format(" ({}{})", found->text,
                       found->privileged ? ": not for ring 3, link the system-call libraries" : "");
  }

  void fault(hal::TraceEvent const& e) {
    report_.state = "faulted";
    fault_ = stopped_;
    bool const fetch = e.a == kPageFault && (e.b & kFetch) != 0;
    auto const what = e.a == supervisor::kVectorBudget ? "it ran longer than its budget"
                                                       : fmt::format("{}, error {}", vector_text(e.a), hex_number(e.b));
    report_.detail = fmt::format("{}{}, {}{}", where(), what, place(e.c), fetch ? "" : instruction(e.c));
    if (e.a == kPageFault) {
      report_.detail += ", address " + hex_number(e.d);
    }
    report_.detail += last_words();
  }

  /// What it printed last, since it was entered: of a DebugLib that is the failed assertion.
  std::string last_words() const { return printed_.last().empty() ? "" : "; it printed: " + printed_.last(); }

  /// Counts the entries of all drivers, and takes in what a waiting driver lacks.
  void user_note(hal::TraceEvent const& e) {
    auto const kind = static_cast<abi::UserNote>(e.a);
    entered_ += kind == abi::UserNote::DriverEntered ? 1u : 0u;
    if (kind == abi::UserNote::DriverNeeds) {
      if (waits_) {
        report_.needs.push_back(std::bit_cast<Guid>(std::array{e.b, e.c}));
      }
      return;
    }
    if (kind == abi::UserNote::DriverEntered || kind == abi::UserNote::HandlerEntered) {
      printed_.forget();
    }
    waits_ = kind == abi::UserNote::DriverWaiting && e.b == image_.base;
    if (e.b == image_.base) {
      note(e);
    }
  }

  void note(hal::TraceEvent const& e) {
    switch (static_cast<abi::UserNote>(e.a)) {
      case abi::UserNote::DriverEntered:
        running_ = true;
        report_.order = entered_;
        last_.reset();
        report_.state = "running";
        report_.detail = "its entry point did not return";
        break;
      case abi::UserNote::DriverReturned:
        running_ = false;
        report_.state = e.c == 0 ? "started" : "error";
        report_.detail = e.c == 0 ? "" : efi_status_name(e.c);
        break;
      case abi::UserNote::DriverWaiting:
        report_.state = "waiting";
        report_.needs.clear();
        break;
      case abi::UserNote::DriverContained:
        contained();
        break;
      case abi::UserNote::HandlerEntered:
      case abi::UserNote::HandlerReturned:
      case abi::UserNote::DriverNeeds:
      case abi::UserNote::HandlerRegistered:
      case abi::UserNote::HandlerAt:
      case abi::UserNote::DriverDefect:
        break;
    }
  }

  /// The fault itself may have been elsewhere: a jump out of the image, a bad pointer given to the user core.
  void contained() {
    if (report_.state != "faulted" && last_) {
      if (last_->kind == hal::TraceKind::Fault) {
        fault(*last_);
      } else {
        report_.detail = where() + refusal();
        fault_ = stopped_;
      }
    }
    report_.state = "faulted";
    running_ = false;
  }

  std::string waiting_for() const {
    Bytes const depex = spec_.depex_content ? *spec_.depex_content
                        : spec_.depex       ? read_file(*spec_.depex).value_or(Bytes{})
                                            : Bytes{};
    std::vector<std::string> needs;
    for (auto const& guid : report_.needs) {
      needs.push_back(named_guid(guid));
    }
    return fmt::format("for {} (depex: {})",
                       needs.empty() ? "nothing that can come" : fmt::format("{}", fmt::join(needs, ", ")),
                       fmt::join(depex_words(depex), ", "));
  }

  ImageSpec const& spec_;
  CodePlaces const& places_;
  MachineRun const& run_;
  Range image_;
  bool loaded_ = false, running_ = false;
  bool waits_ = false;  ///< the notes that follow are about what it needs
  u32 entered_ = 0;
  PrintedText printed_;
  std::optional<hal::TraceEvent> last_;    ///< the last fault of ring 3, or system call that ring 0 refused
  std::size_t stopped_ = 0;                ///< index of `last_`
  std::size_t fault_ = 0;                  ///< of what ended this driver
  std::optional<hal::TraceEvent> policy_;  ///< a PolicyRefusal whose system call has not been told yet
  std::optional<hal::TraceEvent> why_;     ///< the PolicyRefusal of `last_`
  DriverReport report_;
};

/// A driver waits in vain for what another one, which did not start, was to bring: that one has the GUID in its image.
/// `reports` are those of `images`.
void name_providers(std::vector<ImageSpec> const& images, std::vector<DriverReport>& reports) {
  for (std::size_t at = 0; at < reports.size(); ++at) {
    if (reports[at].state != "faulted" && reports[at].state != "error") {
      continue;
    }
    auto const bytes = content_of(images[at]);
    for (auto& waiting : reports) {
      for (auto const& guid : waiting.needs) {
        if (!std::ranges::search(bytes, std::as_bytes(std::span{&guid, 1})).empty()) {
          waiting.detail += fmt::format("; {}, which has {} in it, {}", reports[at].name, guid_name(guid),
                                        reports[at].state == "faulted" ? "faulted" : "ended with an error");
        }
      }
    }
  }
}

}  // namespace

std::vector<DriverReport> report_drivers(Prepared const& p, MachineRun const& run) {
  CodePlaces const places{p, run.trace};
  std::vector<bool> used(run.trace.size());
  std::vector<DriverReport> out;
  for (auto const& spec : p.scenario.images) {
    DriverTrack track{spec, places, run};
    track.load(run.trace, used);
    for (std::size_t i = 0; i < run.trace.size(); ++i) {
      track.see(i);
    }
    out.push_back(std::move(track).take());
  }
  name_providers(p.scenario.images, out);
  return out;
}

std::vector<std::string> describe_dispatch(std::vector<DriverReport> const& reports) {
  std::vector<DriverReport const*> order;
  for (auto const& r : reports) {
    if (r.order != 0) {
      order.push_back(&r);
    }
  }
  std::ranges::sort(order, {}, [](DriverReport const* r) { return r->order; });
  std::vector<std::string> names;
  for (auto const* r : order) {
    names.push_back(r->name);
  }
  std::vector<std::string> lines{
      fmt::format("dispatch order: {}{}", names.empty() ? "nothing was dispatched" : "", fmt::join(names, ", "))};
  for (auto const& r : reports) {
    if (r.state == "waiting") {
      lines.push_back(fmt::format("{} waits {}", r.name, r.detail));
    } else if (r.state != "started") {
      lines.push_back(fmt::format("{}: {} {}", r.name, r.state, r.detail));
    }
    for (auto const& caller : r.callers) {
      lines.push_back("  " + caller);
    }
  }
  return lines;
}

}  // namespace mm::lab
