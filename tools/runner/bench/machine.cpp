// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/bench/machine.hpp"
#include "tools/lab/run/sim_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "core/abi/platform.hpp"

#include "core/communication/communicator.hpp"

namespace mm::runner::bench {

using lab::Bytes;

CpuClock::time_point CpuClock::now() noexcept {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return time_point{std::chrono::seconds{used.tv_sec} + std::chrono::nanoseconds{used.tv_nsec}};
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double median(std::vector<double> values) {
  std::ranges::sort(values);
  auto const middle = values.size() / 2;
  return values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Result<lab::Scenario> scenario_with(char const* driver, char const* machine, std::filesystem::path const& images) {
  return lab::parse_scenario(
      fmt::format("schema = 1\nimages = [{{driver = \"{}\"}}]\n[machine]\n{}\n", driver, machine), "bench", images);
}

Result<lab::Prepared> machine_with(char const* driver, std::filesystem::path const& images, char const* supervisor) {
  MM_TRY_ASSIGN(auto loaded, scenario_with(driver, "", images));
  loaded.supervisor = supervisor;
  return lab::prepare(std::move(loaded), images);
}

sim::MachineConfig config_of(lab::Prepared const& p) {
  auto config = lab::machine_config(p);
  config.record_trace = false;
  return config;
}

Result<std::unique_ptr<sim::Simulator>> boot(lab::Prepared const& p, sim::MachineConfig const& config) {
  auto machine = sim::Simulator::create(config);
  if (!machine) {
    return machine;
  }
  if (auto const booted = (*machine)->boot(p.fv); !booted) {
    return std::unexpected(booted.error());
  }
  return machine;
}

Bytes request_of(Guid const& to, Bytes const& message) {
  return lab::communicate_step(abi::Channel::User, to, message).data;
}

Reply send(sim::Simulator& machine, Bytes const& request) {
  constexpr u64 kHeaderBytes = sizeof(abi::CommunicateHeader);
  machine.write(PhysAddr{platform::kUserCommBuffer}, request);
  abi::CommBufferStatus mailbox;
  mailbox.is_comm_buffer_valid = 1;
  mailbox.return_status = static_cast<u64>(communication::kUntouched);
  auto const raw = std::as_writable_bytes(std::span{&mailbox, 1});
  machine.write(PhysAddr{platform::kUserCommStatus}, raw);
  machine.port_out(platform::kPortApmCnt, abi::IoWidth::Byte, 0);
  machine.read(PhysAddr{platform::kUserCommStatus}, raw);
  u64 const bytes = mailbox.return_buffer_size > kHeaderBytes ? mailbox.return_buffer_size - kHeaderBytes : 0;
  Reply reply{mailbox.is_comm_buffer_valid == 0 ? mailbox.return_status : ~u64{0}, Bytes(bytes)};
  machine.read(PhysAddr{platform::kUserCommBuffer + kHeaderBytes}, reply.message);
  return reply;
}

Exchange exchange(char const* driver) {
  Bytes const letters(kMessageBytes, std::byte{'a'});
  return {request_of(lab::find_guid(driver).value_or(Guid{}), letters), Bytes(kMessageBytes, std::byte{'A'})};
}

}  // namespace mm::runner::bench
