// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/send/list.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "tools/lab/run/backend.hpp"
#include "tools/lab/scenario/names.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

using nlohmann::json;

json guids_json(std::vector<Guid> const& guids) {
  json out = json::array();
  for (auto const& guid : guids) {
    out.push_back({{"guid", lab::format_guid(guid)}, {"name", guid.is_zero() ? "root" : lab::guid_name(guid)}});
  }
  return out;
}

json to_json(lab::DriverInterface const& driver) {
  json accesses = json::array();
  for (auto const& access : driver.accesses) {
    accesses.push_back(policy_tools::describe(access));
  }
  auto const& r = driver.report;
  return {{"name", r.name},
          {"guid", lab::format_guid(r.guid)},
          {"state", r.state},
          {"detail", r.detail},
          {"handlers", guids_json(driver.handlers)},
          {"waits_for", guids_json(r.needs)},
          {"accesses", std::move(accesses)}};
}

}  // namespace

std::expected<Interfaces, std::string> find_interfaces(MachineOptions const& machine) {
  Interfaces out;
  MM_TRY_ASSIGN(auto given, machine_of(machine, "drivers"));
  out.given = std::move(given.drivers);
  MM_TRY_ASSIGN(auto const prepared, lab::prepare(std::move(given.scenario), images_folder()));
  MM_TRY_ASSIGN(auto const run, lab::simulator().run(prepared));
  if (run.halted || run.boot_failed) {
    return std::unexpected(fmt::format(
        "before the first message {}{}{}",
        run.halted ? "the machine halts: " + std::string{lab::halt_name(*run.halted)} : std::string{"the boot fails"},
        run.text.empty() ? "" : ": ", run.text.empty() ? "" : run.text.back()));
  }
  out.drivers = lab::driver_interfaces(prepared, run);
  for (auto const& report : out.given.not_run) {
    out.drivers.push_back({.report = report, .handlers = {}, .accesses = {}});
  }
  return out;
}

int print_interfaces(Interfaces const& found, bool as_json) {
  json list = json::array();
  for (auto const& driver : found.drivers) {
    list.push_back(to_json(driver));
    for (auto const& line : lab::describe(driver)) {
      if (!as_json) {
        std::cout << line << '\n';
      }
    }
  }
  if (as_json) {
    std::cout << lab::json_text({{"schema", 1},
                                 {"drivers", std::move(list)},
                                 {"problems", found.given.losses.damage},
                                 {"notes", found.given.losses.not_opened}});
  } else {
    for (auto const& problem : found.given.losses.damage) {
      std::cerr << "problem: " << problem << '\n';
    }
  }
  auto const of = [](lab::DriverInterface const& d) -> lab::DriverReport const& { return d.report; };
  bool const faulted = std::ranges::any_of(found.drivers, [&](auto const& d) { return of(d).state == "faulted"; });
  bool const idle = std::ranges::all_of(found.drivers, [&](auto const& d) { return of(d).order == 0; });
  return faulted || idle ? kFailed : kPassed;
}

}  // namespace mm::runner
