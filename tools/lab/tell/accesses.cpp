// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/accesses.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "core/abi/syscalls.hpp"
#include "tools/lab/tell/places.hpp"
#include "tools/lab/tell/story.hpp"

namespace mm::lab {
namespace {

using policy_tools::Access;

/// Who runs on each CPU: the user core, or the innermost driver or handler that it has entered.
class Attribution {
 public:
  Attribution(Prepared const& p, std::vector<hal::TraceEvent> const& trace) : places_(p, trace) {}

  void see(hal::TraceEvent const& e) {
    auto& stack = running_[e.cpu];
    if (auto const enter = hal::as<hal::event::UserEnter>(e)) {
      bool const procedure = enter->command == abi::UserCommand::UserApProcedure;
      stack.assign(1, procedure ? name_at(enter->argument) : "the user core");
    } else if (auto const told = hal::as<hal::event::UserNote>(e)) {
      if (told->note == abi::UserNote::DriverEntered || told->note == abi::UserNote::HandlerEntered) {
        stack.push_back(name_at(told->first));
      } else if ((told->note == abi::UserNote::DriverReturned || told->note == abi::UserNote::HandlerReturned) &&
                 stack.size() > 1) {
        stack.pop_back();
      }
    }
  }
  std::string on(u16 cpu) const {
    auto const at = running_.find(cpu);
    return at == running_.end() || at->second.empty() ? "the user core" : at->second.back();
  }

 private:
  std::string name_at(u64 address) const {
    auto const* const image = places_.image_at(address);
    return image == nullptr ? "an unknown image" : image->name;
  }

  CodePlaces places_;
  std::map<u16, std::vector<std::string>> running_;
};

using Call = hal::event::Syscall;

std::optional<Access> port(Call const& call, u16 access) {
  if (call.second > static_cast<u64>(abi::IoWidth::Dword) || call.first > 0xFFFF) {
    return std::nullopt;
  }
  u64 const width = abi::bytes_of(static_cast<abi::IoWidth>(call.second));
  if (width > 0x1'0000 - call.first) {
    return std::nullopt;
  }
  return Access{.type = policy::Type::Io, .address = call.first, .width = width, .access = access};
}
std::optional<Access> msr(Call const& call, u16 access) {
  if (call.first > UINT32_MAX) {
    return std::nullopt;
  }
  return Access{.type = policy::Type::Msr, .address = call.first, .access = access};
}
Access instruction(policy::Instruction which) {
  return {.type = policy::Type::Instruction, .address = static_cast<u64>(which), .access = policy::kExecute};
}
/// EFI_MM_SAVE_STATE_REGISTER, with its number (PI 1.8 vol. 4, 3.3.3).
std::string register_name(u64 reg) {
  static constexpr std::pair<u64, std::string_view> kNames[] = {
      {4, "GDTBASE"},  {5, "IDTBASE"}, {6, "LDTBASE"}, {7, "GDTLIMIT"}, {8, "IDTLIMIT"}, {9, "LDTLIMIT"},
      {10, "LDTINFO"}, {20, "ES"},     {21, "CS"},     {22, "SS"},      {23, "DS"},      {24, "FS"},
      {25, "GS"},      {26, "LDTR"},   {27, "TR"},     {28, "DR7"},     {29, "DR6"},     {30, "R8"},
      {31, "R9"},      {32, "R10"},    {33, "R11"},    {34, "R12"},     {35, "R13"},     {36, "R14"},
      {37, "R15"},     {39, "RBX"},    {40, "RCX"},    {41, "RDX"},     {42, "RSP"},     {43, "RBP"},
      {44, "RSI"},     {45, "RDI"},    {46, "RIP"},    {51, "RFLAGS"},  {52, "CR0"},     {53, "CR3"},
      {54, "CR4"},     {513, "LMA"}};
  auto const at = std::ranges::find(kNames, reg, &std::pair<u64, std::string_view>::first);
  return at == std::end(kNames) ? fmt::format("number {}", reg) : fmt::format("{} ({})", at->second, reg);
}

/// Phase 1 names the register.
std::optional<Access> save_state(u64 reg) {
  constexpr u64 kRax = 38, kIo = 512, kProcessorId = 514;
  if (reg == kProcessorId) {
    return std::nullopt;  // no policy decides it
  }
  auto const field = reg == kRax  ? policy::SaveStateField::Rax
                     : reg == kIo ? policy::SaveStateField::IoTrap
                                  : policy::SaveStateField::Other;
  return Access{.type = policy::Type::SaveState, .address = static_cast<u64>(field)};
}

std::optional<Access> access_of(Call const& call) {
  switch (call.number) {
    case abi::Syscall::RdMsr:
      return msr(call, policy::kRead);
    case abi::Syscall::WrMsr:
      return msr(call, policy::kWrite);
    case abi::Syscall::IoRead:
      return port(call, policy::kRead);
    case abi::Syscall::IoWrite:
      return port(call, policy::kWrite);
    case abi::Syscall::Cli:
      return instruction(policy::Instruction::Cli);
    case abi::Syscall::Wbinvd:
      return instruction(policy::Instruction::Wbinvd);
    case abi::Syscall::Hlt:
      return instruction(policy::Instruction::Hlt);
    case abi::Syscall::SaveStateRead:
      return save_state(call.second);
    default:
      return std::nullopt;
  }
}

/// "the start", or the step and its title, for each event of the trace.
class Places {
 public:
  Places(Prepared const& p, MachineRun const& run) : next_(events_before_steps(p, run).size()) {
    for (auto const& step : tell(p, run)) {
      auto const title = step.title.empty() ? "" : fmt::format(" ({})", step.title);
      steps_.push_back({fmt::format("step {}{}", step.number, title), step.events.size()});
    }
  }
  /// Goes on to the next event, and gives the step that it belongs to.
  std::string advance() {
    while (next_ == 0 && at_ < steps_.size()) {
      now_ = steps_[at_].first;
      next_ = steps_[at_++].second;
    }
    next_ -= next_ == 0 ? 0 : 1;
    return now_;
  }

 private:
  std::vector<std::pair<std::string, std::size_t>> steps_;  ///< with the number of their events
  std::string now_ = "the start";
  std::size_t next_;  ///< events until the next step begins
  std::size_t at_ = 0;
};

}  // namespace

std::vector<policy_tools::Need> recorded_accesses(Prepared const& p, MachineRun const& run) {
  Attribution who{p, run.trace};
  Places places{p, run};
  std::vector<policy_tools::Need> out;
  for (auto const& e : run.trace) {
    who.see(e);
    auto place = places.advance();
    auto const call = hal::as<Call>(e);
    if (auto const access = call ? access_of(*call) : std::nullopt) {
      bool const refused = policy_tools::decide(p.scenario.policy, *access) != Status::Success;
      bool const save_state = access->type == policy::Type::SaveState;
      out.push_back({*access, who.on(e.cpu), refused, save_state ? register_name(call->second) : "", std::move(place)});
    }
  }
  return out;
}

}  // namespace mm::lab
