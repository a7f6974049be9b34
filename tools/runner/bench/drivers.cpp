// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/bench/drivers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "core/abi/guids.hpp"
#include "tools/runner/bench/machine.hpp"

namespace mm::runner {
namespace {

using namespace mm::runner::bench;
using lab::Bytes;

constexpr u32 kVariableMmis = 10'000;
constexpr u64 kPoolSteps = 100'000;
constexpr u64 kBudget = 1'000'000'000;  ///< basic blocks: one MMI does the work of many here
constexpr Guid kProbe = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0090"_guid;
constexpr Guid kVariable = "ED32D533-99E6-4209-9CC0-2D72CDD998A7"_guid;

double milliseconds_since(Clock::time_point start) { return seconds_since(start) * 1e3; }

Result<std::unique_ptr<sim::Simulator>> boot_with_budget(lab::Prepared const& p) {
  auto config = config_of(p);
  config.user_budget_blocks = kBudget;
  return boot(p, config);
}

/// Link n waits for the protocol of link n - 1, and comes before it in the volume.
Result<lab::Prepared> chain(u32 count, std::filesystem::path const& images) {
  constexpr std::string_view kPlaceholder = "ChainLinkProtoco";
  MM_TRY_ASSIGN(auto s, scenario_with("ChainLink", "ram = 1024\ntseg = 64", images));
  MM_TRY_ASSIGN(Bytes const image, lab::read_file(s.images.at(0).file));
  auto const at = std::ranges::search(image, std::as_bytes(std::span{kPlaceholder})).begin();
  if (at == image.end()) {
    return std::unexpected(std::string{"ChainLink.efi has no placeholder"});
  }
  auto const protocol = [](u32 n) {
    Guid guid = "C5A1B2D0-0000-4000-8000-000000000000"_guid;
    guid.data1 = n + 1;
    return guid;
  };
  s.images.clear();
  for (u32 n = count; n-- > 0;) {
    lab::ImageSpec spec;
    spec.name = fmt::format("Link{}", n);
    spec.file = spec.name;
    spec.guid = "9A3D0C11-52C0-4E6B-8B0E-6D5E00800000"_guid;
    spec.guid.data1 = n + 1;
    spec.content = image;
    Guid const mine = protocol(n);
    std::memcpy(spec.content->data() + (at - image.begin()), &mine, sizeof(mine));
    Bytes depex;
    if (n == 0) {
      lab::append_int(depex, 6, 1);
    } else {
      lab::append_int(depex, 2, 1);
      lab::append_object(depex, protocol(n - 1));
    }
    lab::append_int(depex, 8, 1);
    spec.depex_content = std::move(depex);
    s.images.push_back(std::move(spec));
  }
  return lab::prepare(std::move(s), images);
}

Result<double> dispatch_ms(u32 count, std::filesystem::path const& images) {
  auto const p = chain(count, images);
  if (!p) {
    return std::unexpected(p.error());
  }
  auto const message = request_of(guids::gEventMmDispatchGuid, Bytes(8, std::byte{0xFF}));
  std::vector<double> times;
  for (u32 i = 0; i < kRepeats; ++i) {
    auto const machine = boot_with_budget(*p);
    if (!machine) {
      return std::unexpected(machine.error());
    }
    auto const start = Clock::now();
    auto const reply = send(**machine, message);
    times.push_back(milliseconds_since(start));
    bool const retired = send(**machine, message).status == static_cast<u64>(Status::NotFound);
    if (reply.status != 0 || reply.message != Bytes(8) || !retired) {
      return std::unexpected(fmt::format("not all of {} drivers were started", count));
    }
  }
  return median(std::move(times));
}

Result<std::unique_ptr<sim::Simulator>> ready(char const* driver, std::filesystem::path const& images) {
  MM_TRY_ASSIGN(auto s, scenario_with(driver, "cpus = 1", images));
  auto const p = lab::prepare(std::move(s), images);
  if (!p) {
    return std::unexpected(p.error());
  }
  auto machine = boot_with_budget(*p);
  if (machine && send(**machine, request_of(guids::gEventMmDispatchGuid, Bytes(1))).status != 0) {
    return std::unexpected(fmt::format("{} was not started", driver));
  }
  return machine;
}

Result<double> pool_ms(std::filesystem::path const& images) {
  constexpr u64 kPoolLoad = 11;
  constexpr std::size_t kRoom = 256;
  auto const machine = ready("MmstProbe", images);
  if (!machine) {
    return std::unexpected(machine.error());
  }
  Bytes message;
  lab::append_int(message, kPoolLoad, 8);
  lab::append_int(message, kPoolSteps, 8);
  message.resize(kRoom);
  auto const request = request_of(kProbe, message);
  std::vector<double> times;
  for (u32 i = 0; i < kRepeats; ++i) {
    auto const start = Clock::now();
    auto const reply = send(**machine, request);
    times.push_back(milliseconds_since(start));
    if (reply.status != 0 || reply.message != Bytes(8)) {
      return std::unexpected(std::string{"an allocation failed under load"});
    }
  }
  return median(std::move(times));
}

/// A message of the SMM variable protocol about the variable "Bench".
Bytes variable_request(u64 function, Bytes const& data) {
  constexpr std::array<u8, 12> kName{'B', 0, 'e', 0, 'n', 0, 'c', 0, 'h', 0, 0, 0};
  constexpr u32 kAttributes = 7;
  Bytes message;
  lab::append_int(message, function, 8);
  lab::append_int(message, ~u64{0}, 8);
  lab::append_object(message, guids::gEventMmDispatchGuid);  // any vendor
  lab::append_int(message, data.size(), 8);
  lab::append_int(message, kName.size(), 8);
  lab::append_int(message, kAttributes, 4);
  lab::append_object(message, kName);
  lab::append_bytes(message, data);
  return request_of(kVariable, message);
}

Result<double> get_variable_per_second(std::filesystem::path const& images) {
  constexpr std::size_t kDataBytes = 64;
  auto const machine = ready("VariableStore", images);
  if (!machine) {
    return std::unexpected(machine.error());
  }
  Bytes const data(kDataBytes, std::byte{0x5A});
  auto const good = [&data](Reply const& reply) {
    return reply.status == 0 && lab::load_int(reply.message, 8, 8) == 0 && reply.message.size() > kDataBytes &&
           std::equal(data.begin(), data.end(), reply.message.end() - kDataBytes);
  };
  if (!good(send(**machine, variable_request(3, data)))) {
    return std::unexpected(std::string{"SetVariable failed"});
  }
  auto const request = variable_request(1, Bytes(kDataBytes));
  std::vector<double> rates;
  for (u32 repeat = 0; repeat < kRepeats; ++repeat) {
    auto const start = Clock::now();
    for (u32 i = 0; i < kVariableMmis; ++i) {
      if (!good(send(**machine, request))) {
        return std::unexpected(std::string{"GetVariable gave another value"});
      }
    }
    rates.push_back(kVariableMmis / (seconds_since(start)));
  }
  return median(std::move(rates));
}

}  // namespace

std::expected<DriverFigures, std::string> measure_drivers(std::filesystem::path const& images) {
  DriverFigures out;
  MM_TRY_ASSIGN(out.dispatch_500_ms, dispatch_ms(500, images));
  MM_TRY_ASSIGN(out.dispatch_1000_ms, dispatch_ms(1000, images));
  MM_TRY_ASSIGN(out.pool_ms, pool_ms(images));
  MM_TRY_ASSIGN(out.get_variable_per_second, get_variable_per_second(images));
  return out;
}

}  // namespace mm::runner
