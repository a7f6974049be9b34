// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/interfaces.hpp"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>

#include "core/abi/syscalls.hpp"
#include "tools/lab/tell/accesses.hpp"
#include "tools/lab/tell/driver_report.hpp"
#include "tools/lab/text/bytes.hpp"

namespace mm::lab {
namespace {

/// Where the image of a file was loaded; 0: it was not.
u64 base_of(std::vector<hal::TraceEvent> const& trace, Guid const& file) {
  for (auto const& event : trace) {
    auto const image = hal::as<hal::event::ImageLoaded>(event);
    if (image && image->guid == file) {
      return image->base;
    }
  }
  return 0;
}

std::string handler_name(Guid const& guid) { return guid.is_zero() ? "every MMI (a root handler)" : named_guid(guid); }

bool same_name(std::string const& a, std::string const& b) { return ::strcasecmp(a.c_str(), b.c_str()) == 0; }

}  // namespace

std::vector<MmiHandler> mmi_handlers(std::span<hal::TraceEvent const> trace) {
  std::vector<MmiHandler> out;
  Guid type{};
  for (auto const& event : trace) {
    auto const told = hal::as<hal::event::UserNote>(event);
    if (!told) {
      continue;
    }
    if (told->note == abi::UserNote::HandlerRegistered) {
      type = guid_of_words(told->first, told->second);
    } else if (told->note == abi::UserNote::HandlerAt) {
      out.push_back({type, told->second});
    } else if (told->note == abi::UserNote::DriverContained) {
      std::erase_if(out, [&](MmiHandler const& handler) { return handler.image == told->first; });
    }
  }
  return out;
}

std::vector<DriverInterface> driver_interfaces(Prepared const& p, MachineRun const& run) {
  auto const handlers = mmi_handlers(run.trace);
  auto const needs = recorded_accesses(p, run);
  std::vector<DriverInterface> out;
  for (auto& report : report_drivers(p, run)) {
    DriverInterface driver{.report = std::move(report), .handlers = {}, .accesses = {}};
    u64 const base = base_of(run.trace, driver.report.guid);
    for (auto const& handler : handlers) {
      if (handler.image == base && std::ranges::find(driver.handlers, handler.type) == driver.handlers.end()) {
        driver.handlers.push_back(handler.type);
      }
    }
    for (auto const& need : needs) {
      bool const its = need.driver == driver.report.name && need.place == "the start";
      if (its && std::ranges::find(driver.accesses, need.access) == driver.accesses.end()) {
        driver.accesses.push_back(need.access);
      }
    }
    out.push_back(std::move(driver));
  }
  return out;
}

std::vector<std::string> describe(DriverInterface const& driver) {
  auto const& r = driver.report;
  std::vector<std::string> out{
      fmt::format("{} ({}): {}{}{}", r.name, format_guid(r.guid), r.state, r.detail.empty() ? "" : " ", r.detail)};
  for (auto const& guid : driver.handlers) {
    out.push_back("  answers   " + handler_name(guid));
  }
  if (driver.handlers.empty() && r.state == "started") {
    out.emplace_back("  answers   nothing: it registered no MMI handler");
  }
  for (auto const& guid : r.needs) {
    out.push_back("  waits for " + named_guid(guid));
  }
  for (auto const& access : driver.accesses) {
    out.push_back("  uses      " + policy_tools::describe(access));
  }
  return out;
}

std::expected<Guid, std::string> only_handler(std::vector<DriverInterface> const& drivers, std::string const& name) {
  auto const driver = std::ranges::find_if(drivers, [&](auto const& d) { return same_name(d.report.name, name); });
  if (driver == drivers.end()) {
    return std::unexpected(fmt::format("--to {}: no GUID, no known name, and no driver of that name is here", name));
  }
  std::vector<Guid> named;
  std::ranges::copy_if(driver->handlers, std::back_inserter(named), [](Guid const& g) { return !g.is_zero(); });
  if (named.size() == 1) {
    return named.front();
  }
  std::string list;
  for (auto const& guid : named) {
    list += "\n  " + named_guid(guid);
  }
  return std::unexpected(fmt::format("--to {}: it has {} handlers for messages; say which{}{}", name, named.size(),
                                     named.empty() ? ": --list shows those of all drivers" : " by its GUID:", list));
}

}  // namespace mm::lab
