// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy_advice/learn.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

#include "tools/lab/policy/names.hpp"
#include "tools/lab/policy_advice/core_refusal.hpp"

namespace mm::policy_tools {
namespace {

using policy::Type;
using Drivers = std::set<std::string>;

constexpr u64 kLongest = 0xFFFF;  ///< of the 16-bit length field

/// Ports or MSRs with what was done to them and by whom.
struct Span {
  u64 base = 0;
  u64 size = 0;
  u32 rights = 0;
  bool strict = false;
  Drivers drivers;
  bool refused_before = false;

  u64 end() const { return base + size; }
  void take(Span const& other) {
    rights |= other.rights;
    drivers.insert(other.drivers.begin(), other.drivers.end());
    refused_before = refused_before || other.refused_before;
  }
};

/// One span for each place and width, in that order.
std::vector<Span> collect(std::vector<Need> const& needs, Type type) {
  std::map<std::pair<u64, u64>, Span> found;
  for (auto const& need : needs) {
    auto const& a = need.access;
    if (a.type == type) {
      Span const one{a.address, a.width, a.access, false, {need.driver}, need.refused_before};
      found.try_emplace({a.address, a.width}, one).first->second.take(one);
    }
  }
  std::vector<Span> out;
  for (auto& [place, span] : found) {
    out.push_back(std::move(span));
  }
  return out;
}

/// Accesses that overlap: one range when their rights are equal, else each for itself and strict.
void add_group(std::vector<Span>& to, std::vector<Span> group, bool strict_width) {
  bool const equal = std::ranges::all_of(group, [&](Span const& s) { return s.rights == group[0].rights; });
  if (equal && !strict_width) {
    Span whole = group[0];
    for (auto const& s : group) {
      whole.size = std::max(whole.end(), s.end()) - whole.base;
      whole.take(s);
    }
    to.push_back(std::move(whole));
    return;
  }
  // A strict entry may not come before a wider one that contains it.
  std::ranges::sort(
      group, [](Span const& a, Span const& b) { return std::tuple{b.size, a.base} < std::tuple{a.size, b.base}; });
  for (auto& s : group) {
    s.strict = true;
    to.push_back(std::move(s));
  }
}

std::vector<Span> group_overlapping(std::vector<Span> const& spans, bool strict_width) {
  std::vector<Span> out;
  for (std::size_t i = 0; i < spans.size();) {
    std::vector<Span> group{spans[i]};
    u64 end = spans[i].end();
    for (++i; i < spans.size() && spans[i].base < end; ++i) {
      end = std::max(end, spans[i].end());
      group.push_back(spans[i]);
    }
    add_group(out, std::move(group), strict_width);
  }
  return out;
}

std::vector<Span> merge_adjacent(std::vector<Span> const& spans) {
  std::vector<Span> out;
  for (auto const& s : spans) {
    bool const joins = !out.empty() && !s.strict && !out.back().strict && out.back().end() == s.base &&
                       out.back().rights == s.rights && out.back().drivers == s.drivers &&
                       out.back().refused_before == s.refused_before && out.back().size + s.size <= kLongest;
    if (joins) {
      out.back().size += s.size;
    } else {
      out.push_back(s);
    }
  }
  return out;
}

std::vector<std::string> comments(Drivers const& drivers, bool refused_before) {
  std::string names;
  for (auto const& d : drivers) {
    names += (names.empty() ? "" : ", ") + d;
  }
  std::vector<std::string> out{"needed by " + names};
  if (refused_before) {
    out.emplace_back("refused by the policy of the scenario: is it meant?");
  }
  return out;
}

Root allow_list(Type type) { return {.type = type, .deny = false, .entries = {}, .place = {}, .comments = {}}; }

Root span_list(std::vector<Need> const& needs, Type type, bool strict_width) {
  Root root = allow_list(type);
  for (auto const& s : merge_adjacent(group_overlapping(collect(needs, type), strict_width))) {
    u32 const rights = s.rights | (s.strict ? u32{policy::kStrictWidth} : 0);
    root.entries.push_back({.base = s.base,
                            .size = s.size,
                            .attributes = rights,
                            .condition = 0,
                            .place = {},
                            .comments = comments(s.drivers, s.refused_before)});
  }
  return root;
}

Root instruction_list(std::vector<Need> const& needs) {
  Root root = allow_list(Type::Instruction);
  for (auto const& s : collect(needs, Type::Instruction)) {
    root.entries.push_back({.base = s.base,
                            .size = 1,
                            .attributes = policy::kExecute,
                            .condition = 0,
                            .place = {},
                            .comments = comments(s.drivers, s.refused_before)});
  }
  return root;
}

/// Save-state registers for which a policy has no field.
std::vector<std::string> notes_on_registers(std::vector<Need> const& needs) {
  std::vector<std::string> out;
  for (auto const& need : needs) {
    bool const other =
        need.access.type == Type::SaveState && need.access.address == static_cast<u64>(policy::SaveStateField::Other);
    auto note =
        fmt::format("{} reads save-state register {} in {}: a policy has no field for it, so no allow list permits it",
                    need.driver, need.subject, need.place);
    if (other && std::ranges::find(out, note) == out.end()) {
      out.push_back(std::move(note));
    }
  }
  return out;
}

/// What the core refuses, whatever a policy says.
std::vector<std::string> notes_on_the_core(std::vector<Need> const& needs) {
  std::vector<std::string> out;
  for (auto const& need : needs) {
    auto const* const row = core_refusal(need.access);
    if (row == nullptr) {
      continue;
    }
    auto note = fmt::format("{} asks for {} in {}: the core refuses it, whatever the policy says ({})", need.driver,
                            describe(need.access), need.place, row_text(*row));
    if (std::ranges::find(out, note) == out.end()) {
      out.push_back(std::move(note));
    }
  }
  return out;
}

/// IO_TRAP gives the data too, so it needs RAX.
Root save_state_list(std::vector<Need> const& needs) {
  constexpr u64 kRax = static_cast<u64>(policy::SaveStateField::Rax);
  constexpr u64 kIoTrap = static_cast<u64>(policy::SaveStateField::IoTrap);
  Span rax, io_trap;
  for (auto const& s : collect(needs, Type::SaveState)) {
    if (s.base == kIoTrap) {
      io_trap.take(s);
    }
    if (s.base == kIoTrap || s.base == kRax) {
      rax.take(s);
    }
  }
  Root root = allow_list(Type::SaveState);
  if (rax.rights != 0) {
    root.entries.push_back({.base = kRax,
                            .size = 1,
                            .attributes = policy::kCondRead,
                            .condition = static_cast<u32>(policy::IoTrap::Write),
                            .place = {},
                            .comments = comments(rax.drivers, rax.refused_before)});
  }
  if (io_trap.rights != 0) {
    root.entries.push_back({.base = kIoTrap,
                            .size = 1,
                            .attributes = policy::kRead,
                            .condition = 0,
                            .place = {},
                            .comments = comments(io_trap.drivers, io_trap.refused_before)});
  }
  return root;
}

}  // namespace

Learnt learn(std::vector<Need> const& all, bool strict_width) {
  Learnt out;
  std::vector<Need> needs;
  std::ranges::copy_if(all, std::back_inserter(needs), [](Need const& n) { return core_refusal(n.access) == nullptr; });
  out.policy.roots.push_back(span_list(needs, Type::Io, strict_width));
  out.policy.roots.push_back(span_list(needs, Type::Msr, false));
  out.policy.roots.push_back(instruction_list(needs));
  out.policy.roots.push_back(save_state_list(needs));
  out.notes = notes_on_registers(needs);
  for (auto& note : notes_on_the_core(all)) {
    out.notes.push_back(std::move(note));
  }
  out.policy.roots.push_back({.type = Type::Mem, .deny = true, .entries = {}, .place = {}, .comments = {}});
  return out;
}

Policy permissive_policy() {
  Policy out;
  for (auto const type : {Type::Io, Type::Msr, Type::Instruction, Type::Mem}) {
    out.roots.push_back({.type = type, .deny = true, .entries = {}, .place = {}, .comments = {}});
  }
  return out;
}

}  // namespace mm::policy_tools
