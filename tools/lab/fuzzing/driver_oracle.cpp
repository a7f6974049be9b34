// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/fuzzing/driver_oracle.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/abi/heap_guard.hpp"
#include "core/abi/syscalls.hpp"
#include "core/supervisor/types.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/tell/fault_text.hpp"
#include "tools/lab/tell/refusal_text.hpp"

namespace mm::lab {
namespace {

namespace event = hal::event;

constexpr u64 kPageFault = 14;
constexpr u64 kFetch = 0x10;

/// An EFI_STATUS: an error or a warning, or Success, with the bits of OEM codes and of PI (EFI_INTERRUPT_PENDING,
/// EFI_WARN_INTERRUPT_SOURCE_PENDING). What a handler that forgot to return leaves in RAX seldom is.
bool is_status(u64 value) {
  constexpr u64 kError = u64{1} << 63, kOem = u64{1} << 62, kPi = u64{1} << 61, kMostCode = 0xFF;
  return (value & ~(kError | kOem | kPi)) <= kMostCode;
}

class Judge {
 public:
  Judge(JudgedMachine const& machine, std::span<hal::TraceEvent const> events, OracleSet allowed)
      : machine_(machine), events_(events), allowed_(allowed) {}

  std::optional<DriverFinding> run() {
    for (at_ = 0; at_ < events_.size(); ++at_) {
      auto found = look(events_[at_]);
      if (found && (allowed_ & bit_of(found->oracle)) == 0) {
        return found;
      }
    }
    return std::nullopt;
  }

 private:
  std::optional<DriverFinding> look(hal::TraceEvent const& e) {
    if (e.kind == hal::TraceKind::Fault) {
      return fault(hal::unpack<event::Fault>(e));
    }
    if (e.kind == hal::TraceKind::Syscall) {
      auto const call = hal::unpack<event::Syscall>(e);
      return call.status != Status::Success ? std::optional{refused(call)} : std::nullopt;
    }
    if (e.kind == hal::TraceKind::UserNote) {
      return note(hal::unpack<event::UserNote>(e));
    }
    return std::nullopt;
  }

  std::optional<DriverFinding> note(event::UserNote const& n) {
    if (n.note == abi::UserNote::DriverDefect) {
      return defect(static_cast<abi::DriverDefect>(n.first), n.second);
    }
    if (n.note == abi::UserNote::HandlerEntered) {
      last_ = n.first;
      handlers_.push_back(n.first);
    } else if (n.note == abi::UserNote::HandlerReturned) {
      u64 const handler = n.first;
      if (!is_status(n.second)) {
        auto f = at_handler(Oracle::ReplyStatus);
        f.what = fmt::format("the handler returns {}, which is no EFI_STATUS", hex_number(n.second));
        f.aborted = false;
        f.owed = {{hal::TraceKind::UserNote, {{'a', static_cast<u64>(n.note)}, {'c', n.second}}}};
        return f;
      }
      if (!handlers_.empty() && handlers_.back() == handler) {
        handlers_.pop_back();
      }
    }
    return std::nullopt;
  }

  /// What the heap guard saw without a fault; of a fault, fault() has told.
  std::optional<DriverFinding> defect(abi::DriverDefect kind, u64 value) {
    auto const oracle = oracle_of(kind);
    if (!oracle || is_of_fault(kind)) {
      return std::nullopt;
    }
    auto f = at_handler(*oracle);
    f.what = defect_text(kind, value);
    f.aborted = false;
    f.owed = {owed(kind)};
    return f;
  }
  static OwedEvent owed(abi::DriverDefect kind) {
    return {hal::TraceKind::UserNote,
            {{'a', static_cast<u64>(abi::UserNote::DriverDefect)}, {'b', static_cast<u64>(kind)}}};
  }
  static bool is_of_fault(abi::DriverDefect kind) {
    using enum abi::DriverDefect;
    return kind == BesideBlock || kind == FreedMemory || kind == BeyondMessage;
  }
  static std::optional<Oracle> oracle_of(abi::DriverDefect kind) {
    switch (kind) {
      case abi::DriverDefect::Overrun:
      case abi::DriverDefect::BesideBlock:
        return Oracle::PoolOverflow;
      case abi::DriverDefect::FreedMemory:
        return Oracle::UseAfterFree;
      case abi::DriverDefect::InvalidFree:
      case abi::DriverDefect::DoubleFree:
        return Oracle::InvalidFree;
      case abi::DriverDefect::UnwrittenReply:
        return Oracle::UnwrittenReply;
      case abi::DriverDefect::ReplySize:
        return Oracle::ReplySize;
      case abi::DriverDefect::BeyondMessage:
        return Oracle::MessageBounds;
    }
    return std::nullopt;  // a newer core
  }
  static std::string defect_text(abi::DriverDefect kind, u64 value) {
    switch (kind) {
      case abi::DriverDefect::Overrun:
        return fmt::format("bytes beside the pool block at {} were written", hex_number(value));
      case abi::DriverDefect::InvalidFree:
        return fmt::format("{} is given back, and is not allocated", hex_number(value));
      case abi::DriverDefect::DoubleFree:
        return fmt::format("{} is given back a second time", hex_number(value));
      case abi::DriverDefect::UnwrittenReply:
        return fmt::format("byte {} of the reply and those behind it are of memory that nobody wrote", value);
      case abi::DriverDefect::ReplySize:
        return fmt::format("the reply is said to have {} bytes, more than the message has", value);
      case abi::DriverDefect::BesideBlock:
        return "beside a pool block";
      case abi::DriverDefect::FreedMemory:
        return "freed";
      case abi::DriverDefect::BeyondMessage:
        return "behind the message";
    }
    return {};
  }
  /// What the user core said of the fault that is looked at.
  std::optional<abi::DriverDefect> defect_of_fault() const {
    for (auto const& e : events_.subspan(at_)) {
      auto const kind = static_cast<abi::DriverDefect>(e.b);
      if (e.kind == hal::TraceKind::UserNote && e.a == static_cast<u64>(abi::UserNote::DriverDefect) &&
          is_of_fault(kind)) {
        return kind;
      }
      if (e.kind == hal::TraceKind::MmiExit) {
        break;
      }
    }
    return std::nullopt;
  }

  DriverFinding fault(event::Fault const& e) {
    bool const budget = e.vector == supervisor::kVectorBudget;
    auto const guarded = defect_of_fault();
    auto const oracle = guarded ? oracle_of(*guarded) : std::nullopt;
    auto f = at_code(oracle.value_or(budget ? Oracle::Budget : Oracle::Fault), e.rip);
    f.what = budget ? "the handler does not come back: " + cause_text(e.vector, e.error, e.cr2, "")
                    : cause_text(e.vector, e.error, e.cr2, hex_number(e.cr2));
    if (e.vector == kPageFault) {
      f.what += fmt::format(" ({})", guarded ? defect_text(*guarded, 0) : class_of(e.cr2, e.error));
    }
    f.owed = {{hal::TraceKind::Fault, {{'a', e.vector}, {'b', e.error}}}};
    if (guarded) {
      f.owed.push_back(owed(*guarded));
    }
    return f;
  }

  DriverFinding refused(event::Syscall const& call) {
    auto f = at_handler(Oracle::RefusedCall);
    f.what = fmt::format("system call {} refused: {}", syscall_text(static_cast<u64>(call.number)),
                         efi_status_name(static_cast<u64>(call.status)));
    if (auto const* const why = refusal_before(events_, at_)) {
      f.what += "; " + refusal_text(*why);
    }
    f.owed = {{hal::TraceKind::Syscall, {{'a', static_cast<u64>(call.number)}, {'f', static_cast<u64>(call.status)}}}};
    return f;
  }

  /// What lies at an address that ring 3 must not touch.
  std::string_view class_of(u64 address, u64 error) const {
    bool const fetch = (error & kFetch) != 0;
    if (address < kPageSize) {
      return "null page";
    }
    if (image_at(address) != nullptr) {
      return fetch ? "data of an image" : "an image";
    }
    if (machine_.mmram.contains({address, 1})) {
      return (error & 1) != 0 ? "the supervisor's MMRAM" : "MMRAM that is not allocated";
    }
    return fetch ? "code outside MM: a call out" : "outside MMRAM, not opened to MM";
  }

  LoadedImage const* image_at(u64 address) const {
    auto const found =
        std::ranges::find_if(machine_.images, [&](LoadedImage const& i) { return address - i.base < i.bytes; });
    return found == machine_.images.end() ? nullptr : &*found;
  }

  /// The driver that is at fault for what happens at `address`: its own code, else the handler that runs.
  DriverFinding at_code(Oracle oracle, u64 address) const {
    auto const* image = image_at(address);
    if (image == nullptr || image->guid == guids::gMmSupervisorUserGuid) {
      return at_handler(oracle);
    }
    return placed(oracle, image, address);
  }
  DriverFinding at_handler(Oracle oracle) const {
    u64 const handler = handlers_.empty() ? last_ : handlers_.back();
    return placed(oracle, image_at(handler), handler);
  }
  static DriverFinding placed(Oracle oracle, LoadedImage const* image, u64 address) {
    DriverFinding f;
    f.oracle = oracle;
    f.image = image != nullptr ? image->name : "";
    f.image_guid = image != nullptr ? image->guid : Guid{};
    f.offset = image != nullptr ? address - image->base : address;
    return f;
  }

  JudgedMachine const& machine_;
  std::span<hal::TraceEvent const> events_;
  OracleSet allowed_;
  std::size_t at_ = 0;
  u64 last_ = 0;  ///< handler that was entered last: what is wrong with its reply shows when it has returned
  std::vector<u64> handlers_;  ///< that were entered and have not returned
};

}  // namespace

std::string_view oracle_name(Oracle oracle) {
  auto const found = std::ranges::find(kOracles, oracle, &OracleName::oracle);
  return found == kOracles.end() ? std::string_view{} : found->name;
}

std::expected<OracleSet, std::string> parse_oracles(std::span<std::string const> names) {
  OracleSet set = 0;
  for (auto const& name : names) {
    auto const found = std::ranges::find(kOracles, name, &OracleName::name);
    if (found == kOracles.end()) {
      std::string known;
      for (auto const& one : kOracles) {
        known += fmt::format("{}{}", known.empty() ? "" : ", ", one.name);
      }
      return std::unexpected(fmt::format("--allow {}: no such oracle; there are {}", name, known));
    }
    set |= bit_of(found->oracle);
  }
  return set;
}

std::string DriverFinding::key() const {
  return fmt::format("{}-{}-{:x}", oracle_name(oracle), image.empty() ? "nowhere" : image, offset);
}

JudgedMachine judged_machine(std::span<hal::TraceEvent const> boot, Range mmram,
                             std::span<std::pair<Guid, std::string> const> names) {
  JudgedMachine out;
  out.mmram = mmram;
  for (auto const& e : boot) {
    if (e.kind == hal::TraceKind::ImageLoaded) {
      auto const loaded = hal::unpack<event::ImageLoaded>(e);
      auto const known = std::ranges::find(names, loaded.guid, &std::pair<Guid, std::string>::first);
      out.images.push_back(
          {loaded.guid, known != names.end() ? known->second : guid_name(loaded.guid), loaded.base, loaded.bytes});
    }
  }
  return out;
}

std::optional<DriverFinding> judge(JudgedMachine const& machine, std::span<hal::TraceEvent const> events,
                                   OracleSet allowed) {
  return Judge{machine, events, allowed}.run();
}

}  // namespace mm::lab
