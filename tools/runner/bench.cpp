// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/scenario/run.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {
namespace {

constexpr u32 kMessages = 2000;

/// A Hello scenario of `messages` messages.
std::expected<scenario::Prepared, std::string> hello(u32 messages, std::filesystem::path const& images) {
  auto loaded = scenario::parse_scenario(
      "schema = 1\nimages = [{driver = \"Hello\"}]\n[[step]]\nkind = \"communicate\"\nto = \"Hello\"\ntext = \"Hello\"\nexpect = { status = \"Success\", text = \"hELLO\" }\n", "bench",
      images);
  if (!loaded) {
    return std::unexpected(loaded.error());
  }
  auto const step = loaded->steps.front();
  loaded->steps.assign(messages, step);
  return scenario::prepare(std::move(*loaded), images);
}

std::expected<double, std::string> seconds_of(u32 messages, std::filesystem::path const& images) {
  auto const prepared = hello(messages, images);
  if (!prepared) {
    return std::unexpected(prepared.error());
  }
  auto const start = std::chrono::steady_clock::now();
  auto const run = scenario::run_on_sim(*prepared);
  if (!run) {
    return std::unexpected(run.error());
  }
  if (auto const problems = scenario::check(*prepared, *run); !problems.empty()) {
    return std::unexpected(problems.front());
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int bench_command(bool json) {
  auto const images = images_folder();
  auto const one = seconds_of(1, images);
  auto const many = seconds_of(kMessages, images);
  if (!one || !many) {
    std::cerr << "mmsim: " << (one ? many.error() : one.error()) << '\n';
    return kEnvironment;
  }
  double const rate = (kMessages - 1) / std::max(1e-9, *many - *one);
  double const first_ms = *one * 1000;
  if (json) {
    std::cout << nlohmann::json{{"schema", 1}, {"hello_mmi_per_second", rate}, {"machine_to_first_reply_ms", first_ms}}.dump() << '\n';
  } else {
    std::cout << fmt::format("Hello MMIs per second        {:.0f}\nmachine to first reply       {:.1f} ms\n", rate, first_ms);
  }
  return kPassed;
}

}  // namespace mm::runner
