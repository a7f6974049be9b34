// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/bench/qemu.hpp"

#include <fmt/format.h>

#include "core/abi/guids.hpp"
#include "core/abi/platform.hpp"
#include "core/communication/supervisor_client.hpp"
#include "tools/lab/run/backend.hpp"

namespace mm::runner::bench {
namespace {

using lab::Bytes;

/// One measurement on QEMU: the OUT, with a message before each or without.
struct Timed {
  char const* id;
  char const* title;
  u64 port;
  Bytes message;
  std::optional<double> below;
  u64 repetitions = kTimedMmis;
  bool supervisor = false;  ///< channel of the message, else the user's
};

Bytes timed_program(std::vector<Timed> const& list) {
  lab::Scenario s;
  for (auto const& t : list) {
    auto const bytes = static_cast<u32>(t.message.size());
    s.steps.emplace_back().program.push_back(
        {{static_cast<u16>(steps::StepOp::TimedMmi), 0, bytes, t.repetitions, t.port, t.supervisor ? u64{1} : u64{0}},
         t.message});
  }
  return lab::encode_program(s).bytes;
}

/// Dispatches one driver, then takes each measurement. Under `-icount shift=0` the TSC counts instructions.
Result<std::vector<Row>> measure_on_qemu(char const* driver, std::vector<Timed> const& list,
                                         std::filesystem::path const& images) {
  auto p = machine_with(driver, images, "MmSupervisorCoreRelease");
  if (!p) {
    return std::unexpected(p.error());
  }
  p->program.bytes = timed_program(list);
  p->scenario.boot.steps_bytes = p->program.bytes.size();
  p->qemu.options = {"-icount", "shift=0,sleep=off"};
  auto const run = lab::qemu().run(*p);
  if (!run) {
    return std::unexpected(run.error());
  }
  constexpr std::size_t kFirst = 1;  // result 0 is the dispatch
  if (run->results.size() != kFirst + list.size()) {
    return std::unexpected(
        fmt::format("QEMU gave {} results instead of {}", run->results.size(), kFirst + list.size()));
  }
  std::vector<Row> rows;
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto const& t = list[i];
    auto const& head = run->results[kFirst + i].head;
    if (head.status != 0) {
      return std::unexpected(fmt::format("{}: status {:#x}", t.title, head.status));
    }
    auto const value = static_cast<double>(head.value);
    auto const title = fmt::format("{}; mean {}", t.title, head.detail);
    rows.push_back(t.below ? below(t.id, title, value, "instr", *t.below) : Row{t.id, title, value, "instr", "", {}});
  }
  return rows;
}

/// The request that opens pages of the normal world to MM, as the supervisor channel's buffer has it.
Bytes unblock(u64 address, u64 pages) {
  abi::UnblockMemoryParams params;
  params.descriptor.type = 4;
  params.descriptor.physical_start = address;
  params.descriptor.number_of_pages = pages;
  params.descriptor.attribute = 0x4000;
  params.identifier = lab::find_guid("Hello").value_or(Guid{});
  Bytes message;
  lab::append_object(message, communication::unblock_message(params));
  return lab::communicate_step(abi::Channel::Supervisor, guids::gMmSupervisorRequestHandlerGuid, message).data;
}

}  // namespace

Result<std::vector<Row>> qemu_rows(std::filesystem::path const& images) {
  constexpr double kEdk2Empty = 651;  // what edk2's ring-0 SMM stack takes for an MMI without work
  constexpr u64 kMmi = platform::kPortApmCnt;
  constexpr u64 kAt = platform::kScratch;
  struct Run {
    char const* driver;
    std::vector<Timed> list;
  };
  Run const runs[] = {
      {"Hello",
       {{"qemu_floor_instructions", "OUT to port 0x80 (floor)", 0x80, {}, {}},
        {"qemu_empty_mmi_instructions", "empty MMI: no message, no root handler", kMmi, {}, kEdk2Empty},
        {"qemu_hello_mmi_instructions", "Hello, 64 bytes", kMmi, exchange("Hello").request, {}}}},

      {"HelloSyscalls",
       {{"qemu_hello_3_syscalls_instructions",
         "the same with 3 allowed system calls",
         kMmi,
         exchange("HelloSyscalls").request,
         {}}}},
      {"Hello", {{"qemu_unblock_1_instructions", "unblock of one page", kMmi, unblock(kAt, 1), {}, 1, true}}},
      {"Hello", {{"qemu_unblock_16mib_instructions", "unblock of 16 MiB", kMmi, unblock(kAt, 4096), {}, 1, true}}},
      {"RootHandler",
       {{"qemu_root_handler_mmi_instructions", "no message, one root handler in ring 3", kMmi, {}, {}}}}};
  std::vector<Row> rows;
  for (auto const& run : runs) {
    auto const some = measure_on_qemu(run.driver, run.list, images);
    if (!some) {
      return some;
    }
    rows.insert(rows.end(), some->begin(), some->end());
  }
  return rows;
}

}  // namespace mm::runner::bench
