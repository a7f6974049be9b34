// SPDX-License-Identifier: BSD-2-Clause-Patent
// Communicate messages to a booted machine. The input is a sequence of up to eight messages, each a head of six bytes
// and its bytes; the machine goes back to its snapshot before each input. What must hold afterwards:
// - the supervisor did not fault; a halt has a reason that ring 3 or the policy can cause;
// - the normal world cannot read MMRAM;
// - no page of MM is writable and executable.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "core/abi/comm.hpp"
#include "core/abi/guids.hpp"
#include "core/abi/platform.hpp"
#include "core/communication/steps.hpp"
#include "core/image/fv.hpp"
#include "fuzz/support/check.hpp"
#include "hal/roles/machine.hpp"
#include "sim/machine/machine.hpp"
#include "sim/scenario/bytes.hpp"
#include "sim/scenario/fv_writer.hpp"
#include "sim/scenario/policy_xml.hpp"

/// Edge counters of ring 3, by which libFuzzer sees progress inside the guest.
[[gnu::section("__libfuzzer_extra_counters")]] static std::array<mm::u8, 1 << 14> g_ring3_counters;

namespace {

using namespace mm;

constexpr u64 kMaxMessages = 8;

/// In front of each message.
struct Head {
  u8 guid = 0;     ///< 0: the header is in the bytes; else kKnown[guid - 1] and a correct length are put in front
  u8 channel = 0;  ///< bit 0: supervisor channel; bit 1: ready-made supervisor request signature
  u8 valid = 0;    ///< mailbox byte
  u8 port = 0;     ///< value for 0xB3
  u16 bytes = 0;   ///< of the message; what is missing in the input is left out
};
static_assert(sizeof(Head) == 6);

constexpr std::array kKnown{
    "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0001"_guid,  // Hello
    "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0003"_guid,  // HelloSupervised
    "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0010"_guid,  // Attacker
    guids::gMmSupervisorRequestHandlerGuid,      guids::gMmSupervisorDriverDispatchGuid,
};

template <typename T>
T must(std::expected<T, std::string> value) {
  if (!value) {
    std::fprintf(stderr, "the machine for fuzzing cannot be made: %s\n", value.error().c_str());
    std::exit(3);
  }
  return std::move(*value);
}

scenario::Bytes read_image(std::string const& name) {
  return must(scenario::read_file(std::string{MM_IMAGE_DIR} + "/" + name));
}

scenario::FvFileSpec file(Guid name, u8 type) {
  scenario::FvFileSpec spec;
  spec.name = name;
  spec.type = type;
  return spec;
}

scenario::FvFileSpec core(Guid name, std::string const& stem) {
  auto spec = file(name, image::file_type::kMmCoreStandalone);
  spec.pe32 = read_image(stem + ".efi");
  return spec;
}

scenario::FvFileSpec driver(Guid name, std::string const& stem) {
  auto spec = file(name, image::file_type::kMmStandalone);
  spec.depex = read_image(stem + ".depex");
  spec.pe32 = read_image(stem + ".efi");
  spec.ui = stem;
  return spec;
}

scenario::Bytes volume() {
  auto policy = file(guids::gMmSupervisorPolicyFileGuid, image::file_type::kFreeform);
  policy.raw = must(scenario::compile_policy(scenario::default_policy_xml()));
  return must(scenario::write_fv({core(guids::gMmSupervisorCoreGuid, "MmSupervisorCore"),
                                  core(guids::gMmSupervisorUserGuid, "MmUserCore"), policy,
                                  driver("9A3D0C11-52C0-4E6B-8B0E-6D5E00000001"_guid, "Hello"),
                                  driver("9A3D0C11-52C0-4E6B-8B0E-6D5E00000003"_guid, "HelloSupervised"),
                                  driver("9A3D0C11-52C0-4E6B-8B0E-6D5E00000010"_guid, "Attacker")}));
}

/// The drivers start with a message, as on a real boot: this one must have run before the snapshot.
void send_dispatch(sim::Simulator& machine) {
  scenario::Bytes buffer;
  scenario::append_object(buffer, guids::gEventMmDispatchGuid);
  scenario::append_int(buffer, 1, 8);
  scenario::append_int(buffer, 0, 1);
  machine.write(PhysAddr{platform::kUserCommBuffer}, buffer);
  abi::CommBufferStatus mailbox;
  mailbox.is_comm_buffer_valid = 1;
  machine.write(PhysAddr{platform::kUserCommStatus}, std::as_bytes(std::span{&mailbox, 1}));
  machine.port_out(platform::kPortApmCnt, abi::IoWidth::Byte, 0);
  MM_FUZZ_CHECK(!machine.halted());
}

std::unique_ptr<sim::Simulator> boot() {
  auto const fv = volume();
  auto const entry = read_image("MmiEntry.bin");
  sim::MachineConfig config;
  config.boot.ram_bytes = platform::kDefaultRamBytes;
  config.boot.tseg_bytes = platform::kDefaultTsegBytes;
  config.boot.cpus = 2;
  config.boot.fv_bytes = fv.size();
  config.user_budget_blocks = 200'000;
  config.record_trace = false;
  config.mmi_entry = entry;
  config.coverage = g_ring3_counters;
  auto machine = must(sim::Simulator::create(config));
  if (auto const booted = machine->boot(fv); !booted) {
    must<int>(std::unexpected(booted.error()));
  }
  send_dispatch(*machine);
  machine->snapshot();
  return machine;
}

class Reader {
 public:
  explicit Reader(std::span<std::byte const> bytes) : bytes_(bytes) {}
  std::optional<Head> head() {
    if (bytes_.size() < sizeof(Head)) {
      return std::nullopt;
    }
    Head head;
    std::ranges::copy(bytes_.first(sizeof(Head)), std::as_writable_bytes(std::span{&head, 1}).begin());
    bytes_ = bytes_.subspan(sizeof(Head));
    return head;
  }
  std::span<std::byte const> take(std::size_t most) {
    auto const part = bytes_.first(std::min(most, bytes_.size()));
    bytes_ = bytes_.subspan(part.size());
    return part;
  }

 private:
  std::span<std::byte const> bytes_;
};

void send(sim::Simulator& machine, Head const& head, std::span<std::byte const> body) {
  auto const channel = (head.channel & 1) != 0 ? abi::Channel::Supervisor : abi::Channel::User;
  scenario::Bytes buffer;
  if (head.guid != 0) {
    scenario::append_object(buffer, kKnown[(head.guid - 1u) % kKnown.size()]);
    scenario::append_int(buffer, body.size() + ((head.channel & 2) != 0 ? 4u : 0u), 8);
  }
  if ((head.channel & 2) != 0) {
    scenario::append_int(buffer, abi::kRequestSignature, 4);
  }
  scenario::append_bytes(buffer, body);
  buffer.resize(std::min<std::size_t>(buffer.size(), platform::kCommPages * kPageSize));
  machine.write(communication::comm_buffer(channel), buffer);
  abi::CommBufferStatus mailbox;
  mailbox.is_comm_buffer_valid = head.valid;
  machine.write(communication::comm_mailbox(channel), std::as_bytes(std::span{&mailbox, 1}));
  machine.port_out(platform::kPortApmSts, abi::IoWidth::Byte, head.port);
  machine.port_out(platform::kPortApmCnt, abi::IoWidth::Byte, 0);
}

bool is_allowed_halt(hal::HaltReason why) {
  using enum hal::HaltReason;
  return why == UserFault || why == SyscallRefused || why == UserBudget || why == UserContract;
}

void check(sim::Simulator& machine) {
  MM_FUZZ_CHECK(!machine.halted() || is_allowed_halt(*machine.halted()));
  std::array<std::byte, 16> seen{};
  machine.read(PhysAddr{platform::kDefaultRamBytes - platform::kDefaultTsegBytes + 0x8000}, seen);
  MM_FUZZ_CHECK(std::ranges::all_of(seen, [](std::byte b) { return b == std::byte{0xFF}; }));
  static unsigned inputs = 0;  // walking the tables costs more than an MMI
  if (inputs++ % 64 == 0) {
    for (auto const& page : machine.page_map()) {
      MM_FUZZ_CHECK(!(page.attr.writable && page.attr.executable));
    }
  }
}

}  // namespace

/// Detecting use after return would keep a shadow stack for each fiber that a halt abandons: memory without bound.
extern "C" char const* __asan_default_options() { return "detect_stack_use_after_return=0:quarantine_size_mb=16"; }

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  static std::unique_ptr<sim::Simulator> const machine = boot();
  machine->reset();
  Reader reader{std::as_bytes(std::span{data, size})};
  for (u64 i = 0; i < kMaxMessages && !machine->halted(); ++i) {
    auto const head = reader.head();
    if (!head) {
      break;
    }
    send(*machine, *head, reader.take(head->bytes));
  }
  check(*machine);
  return 0;
}
