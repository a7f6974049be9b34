// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/refusal_text.hpp"

#include <fmt/format.h>

#include "tools/lab/policy/names.hpp"
#include "tools/lab/policy_advice/core_refusal.hpp"

namespace mm::lab {

namespace {

policy_tools::Access access_of(hal::event::PolicyRefusal const& refused) {
  return {.type = static_cast<policy::Type>(refused.type),
          .address = refused.what,
          .width = refused.width == 0 ? 1 : refused.width,
          .access = static_cast<u16>(refused.access)};
}

}  // namespace

std::string refused_access(hal::event::PolicyRefusal const& refused) {
  return policy_tools::describe(access_of(refused));
}

std::string refusal_text(hal::TraceEvent const& event) {
  auto const refused = hal::unpack<hal::event::PolicyRefusal>(event);
  auto const access = access_of(refused);
  auto const what = policy_tools::describe(access);
  if (refused.by_core != 0) {
    auto const* const row = policy_tools::core_refusal(access, static_cast<u32>(refused.config_address));
    return fmt::format(
        "the core refuses {}, whatever the policy says ({}); `mmsim policy core` lists what ring 0 stands on", what,
        row == nullptr ? "no row" : policy_tools::row_text(*row));
  }
  auto const entry = policy_tools::allowing_entry(access);
  return fmt::format(
      "the policy refuses {}; {}`mmsim policy learn SCENARIO -o policy.xml` writes what the drivers need", what,
      entry.empty() ? "" : "the entry that allows it is " + entry + "; ");
}

hal::TraceEvent const* refusal_before(std::span<hal::TraceEvent const> trace, std::size_t at) {
  for (std::size_t i = at; i-- != 0;) {
    auto const& e = trace[i];
    if (e.cpu != trace[at].cpu) {
      continue;
    }
    if (e.kind == hal::TraceKind::PolicyRefusal) {
      return &e;
    }
    if (e.kind == hal::TraceKind::Syscall || e.kind == hal::TraceKind::UserEnter) {
      return nullptr;
    }
  }
  return nullptr;
}

}  // namespace mm::lab
