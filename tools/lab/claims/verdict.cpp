// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/claims/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/supervisor/types.hpp"
#include "tools/lab/fuzzing/driver_case.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/tell/driver_report.hpp"

namespace mm::lab {
namespace {

namespace event = hal::event;

constexpr u64 kPageFault = 14, kWrite = 2, kFetch = 0x10;

/// What the claim is about is not there at all.
std::optional<std::string> missing(Claim const& claim, Prepared const& p, MachineRun const& run) {
  auto const there = registered_handlers(run.trace);
  for (auto const& message : claim.messages) {
    if (std::ranges::find(there, message.to) != there.end()) {
      continue;
    }
    std::string why;
    for (auto const& report : report_drivers(p, run)) {
      why += report.state == "started" ? "" : fmt::format("; {}: {} {}", report.name, report.state, report.detail);
    }
    return fmt::format("no driver registered a handler for {}{}", named_guid(message.to), why);
  }
  auto const& image = claim.does.image;
  auto const names = image_names(p);
  if (!image.empty() && std::ranges::none_of(names, [&](auto const& one) { return one.second == image; })) {
    return fmt::format("no image of the machine is called {}", image);
  }
  return std::nullopt;
}

/// Ring 3 may do so at this address: no machine would say a word.
std::optional<std::string> allowed(ClaimedDeed const& d, MachineRun const& run) {
  if (!d.at || !run.audited) {
    return std::nullopt;
  }
  for (auto const& region : run.audited->regions) {
    bool const right = region.attr.user && (d.what == Deed::Write     ? region.attr.writable
                                            : d.what == Deed::CallOut ? region.attr.executable
                                                                      : true);
    if (right && region.range.contains({d.at->base, 1})) {
      return fmt::format("{} is {} ({}), where ring 3 may do this: nothing tells of it", hex_number(d.at->base),
                         region.owner.empty() ? "memory of nobody" : region.owner, audit::rights_text(region.attr));
    }
  }
  return std::nullopt;
}

class ClaimJudge {
 public:
  ClaimJudge(Claim const& claim, Prepared const& p, MachineRun const& run) : claim_(claim), p_(p), run_(run) {
    auto const& boot = p.scenario.boot;
    mmram_ = {boot.ram_bytes - boot.tseg_bytes, boot.tseg_bytes};
    machine_ = judged_machine(run.trace, mmram_, image_names(p));
  }

  Judgement judge() {
    if (claim_.does.what == Deed::Escape) {
      return run_.ring0.empty() ? refuted() : confirmed(run_.ring0.front(), served(), std::nullopt);
    }
    std::size_t const count = claim_.messages.size();
    for (std::size_t i = 0; i < count; ++i) {
      if (claim_.message != 0 && claim_.message != i + 1) {
        continue;
      }
      auto const part = events_of(i);
      if (!part) {
        break;
      }
      if (auto found = in_message(i, *part)) {
        return std::move(*found);
      }
    }
    return refuted();
  }

 private:
  std::size_t first_step() const { return p_.scenario.steps.size() - claim_.messages.size(); }
  StepOutcome const* result_of(std::size_t message) const {
    return result_at(run_, p_.program.last_of_step[first_step() + message]);
  }
  /// The events of a message; nothing: the machine did not come so far.
  std::optional<std::span<hal::TraceEvent const>> events_of(std::size_t message) const {
    std::size_t const index = p_.program.last_of_step[first_step() + message];
    auto const* const before = index == 0 ? nullptr : result_at(run_, index - 1);
    auto const* const after = result_at(run_, index);
    if (index != 0 && before == nullptr) {
      return std::nullopt;
    }
    std::size_t const from = before != nullptr ? before->events : 0;
    std::size_t const to = after != nullptr ? after->events : run_.trace.size();
    return std::span{run_.trace}.subspan(from, to - from);
  }
  /// Messages that were answered, and the one in which the machine stopped.
  std::size_t served() const {
    std::size_t count = 0;
    while (count < claim_.messages.size() && result_of(count) != nullptr) {
      ++count;
    }
    return std::min(count + 1, claim_.messages.size());
  }

  std::optional<Judgement> in_message(std::size_t i, std::span<hal::TraceEvent const> events) const {
    auto const& d = claim_.does;
    if (d.what == Deed::Leak && !d.bytes.empty()) {
      auto const* const result = result_of(i);
      bool const there = result != nullptr && !std::ranges::search(result->data, d.bytes).empty();
      return there ? std::optional{confirmed("the bytes are in the reply", i + 1, std::nullopt)} : std::nullopt;
    }
    auto const found = mm::lab::judge(machine_, events, others());
    return found && shows(*found, events) ? std::optional{confirmed(found->what, i + 1, *found)} : std::nullopt;
  }

  /// Oracles that have no say in this claim.
  OracleSet others() const {
    OracleSet asked = 0;
    switch (claim_.does.what) {
      case Deed::Oracle:
        asked = bit_of(*claim_.does.oracle);
        break;
      case Deed::Leak:
        asked = bit_of(Oracle::UnwrittenReply);
        break;
      case Deed::Hang:
        asked = bit_of(Oracle::Budget);
        break;
      case Deed::Fault:
      case Deed::Write:
      case Deed::Read:
      case Deed::CallOut:
        asked = bit_of(Oracle::Fault) | bit_of(Oracle::PoolOverflow) | bit_of(Oracle::UseAfterFree) |
                bit_of(Oracle::MessageBounds);
        break;
      case Deed::Escape:
        break;
    }
    return ~asked;
  }

  bool shows(DriverFinding const& f, std::span<hal::TraceEvent const> events) const {
    auto const& d = claim_.does;
    bool const place = (d.image.empty() || f.image == d.image) && (!d.offset || f.offset == *d.offset);
    bool const access = d.what == Deed::Write || d.what == Deed::Read || d.what == Deed::CallOut;
    if (!access && d.what != Deed::Fault) {
      return place;
    }
    auto const fault = fault_in(events);
    return fault && place && (access ? is_access(*fault) : !d.vector || fault->vector == *d.vector);
  }
  /// The first fault of a message, which the oracles of faults tell of; one of the budget is none.
  static std::optional<event::Fault> fault_in(std::span<hal::TraceEvent const> events) {
    for (auto const& e : events) {
      auto const fault = hal::as<event::Fault>(e);
      if (fault && fault->vector != supervisor::kVectorBudget) {
        return fault;
      }
    }
    return std::nullopt;
  }
  bool is_access(event::Fault const& fault) const {
    auto const& d = claim_.does;
    bool const fetch = (fault.error & kFetch) != 0;
    bool const write = (fault.error & kWrite) != 0;
    bool const kind = d.what == Deed::CallOut ? fetch && !mmram_.contains({fault.cr2, 1})
                      : d.what == Deed::Write ? write
                                              : !write && !fetch;
    bool const inside = mmram_.contains({fault.cr2, 1});
    bool const area = d.area == Area::Anywhere || (d.area == Area::Mmram) == inside;
    return fault.vector == kPageFault && kind && area && (!d.at || d.at->contains({fault.cr2, 1}));
  }
  static Judgement confirmed(std::string reason, std::size_t message, std::optional<DriverFinding> finding) {
    return {Verdict::Confirmed, std::move(reason), message, std::move(finding)};
  }
  /// What happened instead.
  Judgement refuted() const {
    auto const other = finding_of(p_, run_, claim_.messages.size(), 0);
    std::string why = "it does not happen";
    if (other) {
      why += fmt::format("; message {} does something else: {} in {}: {}", other->message + 1,
                         oracle_name(other->finding.oracle), place_text(p_, other->finding), other->finding.what);
    } else if (auto const* const last = result_of(claim_.messages.size() - 1)) {
      why += fmt::format("; every message is answered, the last with {}", efi_status_name(last->head.status));
    }
    return {Verdict::Refuted, why, 0, std::nullopt};
  }

  Claim const& claim_;
  Prepared const& p_;
  MachineRun const& run_;
  Range mmram_;
  JudgedMachine machine_;
};

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::Confirmed:
      return "CONFIRMED";
    case Verdict::Refuted:
      return "REFUTED";
    case Verdict::NotExpressible:
      break;
  }
  return "NOT EXPRESSIBLE";
}

std::optional<std::string> not_expressible(Claim const& claim, Prepared const& prepared, MachineRun const& run) {
  if (!run.complete) {
    return fmt::format("before the first message the machine {}{}",
                       run.halted        ? fmt::format("halts ({})", halt_name(*run.halted))
                       : run.boot_failed ? std::string{"does not boot"}
                                         : std::string{"stops"},
                       run.text.empty() ? "" : ": " + run.text.back());
  }
  auto const absent = missing(claim, prepared, run);
  return absent ? absent : allowed(claim.does, run);
}

Judgement judge_claim(Claim const& claim, Prepared const& prepared, MachineRun const& run) {
  return ClaimJudge{claim, prepared, run}.judge();
}

}  // namespace mm::lab
