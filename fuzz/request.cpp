// SPDX-License-Identifier: BSD-2-Clause-Patent
// Messages on the supervisor channel of a supervisor that has started, in fake memory: the requests, ReadyToLock,
// ExitBootServices. Each message: one byte that says what, two bytes of length, and its bytes. A model of the lock and
// of the regions that were opened goes along (core/abi/ABI.md 4, core/ARCHITECTURE.md 10).
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "fuzz/support/target.hpp"
#include "fuzz/support/world_watch.hpp"
#include "tests/support/policy_blob.hpp"
#include "tools/lab/scenario/names.hpp"

namespace mm::fuzz {
namespace {

using Bytes = std::span<std::byte const>;

constexpr u32 kMostMessages = 24;
constexpr u64 kBufferBytes = platform::kCommPages * kPageSize;
constexpr std::size_t kHeadBytes = 3;

enum class What : u8 { Request, RawRequest, ReadyToLock, ExitBootServices, Raw, OtherLength };
constexpr u8 kWhats = 6;

struct Opened {
  Range range;
  bool supervisor = false;
};

class Session {
 public:
  Session(test::World& world, fuzz::WorldWatch& watch) : world_(world), watch_(watch) { watch_.reset(); }

  void play(Bytes script) {
    for (u32 n = 0; n < kMostMessages && script.size() >= kHeadBytes && !world_.machine.halted; ++n) {
      auto const what = static_cast<What>(static_cast<u8>(script[0]) % kWhats);
      std::size_t const claimed = static_cast<u8>(script[1]) + std::size_t{static_cast<u8>(script[2])} * 256;
      script = script.subspan(kHeadBytes);
      auto const body = script.first(std::min(claimed, script.size()));
      script = script.subspan(body.size());
      send(what, body, claimed);
    }
  }

 private:
  static std::vector<u8> bytes_of(Bytes body, bool signature) {
    std::vector<u8> out;
    if (signature) {
      out = {'M', 'S', 'U', 'P', 1, 0, 0, 0};
    }
    auto const* const first = reinterpret_cast<u8 const*>(body.data());
    out.insert(out.end(), first, first + body.size());
    out.resize(std::min<std::size_t>(out.size(), kBufferBytes - sizeof(abi::CommunicateHeader)));
    return out;
  }

  void send(What what, Bytes body, u64 claimed) {
    auto const message = bytes_of(body, what == What::Request);
    std::optional<u64> length;
    Guid guid = guids::gMmSupervisorRequestHandlerGuid;
    if (what == What::ReadyToLock) {
      guid = guids::gEfiDxeMmReadyToLockProtocolGuid;
    } else if (what == What::ExitBootServices) {
      guid = guids::gEfiEventExitBootServicesGuid;
    } else if (what == What::OtherLength) {
      length = claimed * 0x0101'0101'0101'0101;
    } else if (what == What::Raw && body.size() >= sizeof guid) {
      std::memcpy(&guid, body.data(), sizeof guid);
    }
    world_.request(abi::Channel::Supervisor, guid, message, length);
    world_.machine.reads.clear();
    world_.machine.writes.clear();
    world_.machine.events.clear();
    world_.mmi();
    check(guid, message, length.value_or(message.size()));
  }

  void check(Guid const& guid, std::vector<u8> const& message, u64 length) {
    MM_FUZZ_CHECK(!world_.machine.halted);
    watch_.check_accesses();
    watch_.check_single_fetch();
    auto const status = world_.status(abi::Channel::Supervisor);
    MM_FUZZ_CHECK(status.is_comm_buffer_valid == 0);
    MM_FUZZ_CHECK(status.return_buffer_size <= kBufferBytes);
    bool const refused = runtime_ || length > kBufferBytes - sizeof(abi::CommunicateHeader);
    MM_FUZZ_CHECK(!refused || (status.return_buffer_size == 0 && status.return_status != 0));
    check_behind(status.return_buffer_size, message.size());
    for (auto const& e : world_.machine.of(hal::TraceKind::Unblocked)) {
      MM_FUZZ_CHECK(!refused);
      auto const region = hal::unpack<hal::event::Unblocked>(e);
      if (region.status == Status::Success) {
        opened(region.base, region.pages, message);
      }
    }
    if (!world_.machine.of(hal::TraceKind::Lock).empty()) {
      MM_FUZZ_CHECK(!refused);
      locked_ = locked_ || guid != guids::gEfiEventExitBootServicesGuid;
      runtime_ = runtime_ || guid == guids::gEfiEventExitBootServicesGuid;
    }
  }

  /// Behind all that messages and replies have reached, the buffer holds nothing.
  void check_behind(u64 reply, std::size_t message_bytes) {
    constexpr u64 kLookedAt = 64;
    used_ = std::max({used_, reply, sizeof(abi::CommunicateHeader) + message_bytes});
    for (u64 at = used_; at < std::min(used_ + kLookedAt, kBufferBytes); ++at) {
      MM_FUZZ_CHECK(world_.get<u8>(platform::kSupervisorCommBuffer + at) == 0);
    }
  }

  /// A region that was opened: before the lock, outside MMRAM, over no other, and mapped as data of the one who asked.
  void opened(u64 base, u64 pages, std::vector<u8> const& message) {
    MM_FUZZ_CHECK(!locked_);
    MM_FUZZ_CHECK(base % kPageSize == 0 && pages != 0 && pages <= UINT64_MAX / kPageSize);
    auto const made = Range::make(base, pages * kPageSize);
    MM_FUZZ_CHECK(made.has_value());
    MM_FUZZ_CHECK(!made->overlaps({test::kMmram, test::kMmramBytes}));
    MM_FUZZ_CHECK(message.size() >= sizeof(abi::SupervisorRequestHeader) + sizeof(abi::UnblockMemoryParams));
    abi::UnblockMemoryParams params;
    std::memcpy(&params, message.data() + sizeof(abi::SupervisorRequestHeader), sizeof params);
    Opened const now{*made, (params.descriptor.attribute & abi::kMemorySp) != 0};
    bool again = false;
    for (Opened const& o : opened_) {
      bool const same = o.range.base == now.range.base && o.range.size == now.range.size;
      again = again || (same && o.supervisor == now.supervisor);
      MM_FUZZ_CHECK(same || !o.range.overlaps(now.range));
    }
    auto const attr = world_.tables().query_uniform(now.range);
    MM_FUZZ_CHECK(attr.has_value() && attr->writable && !attr->executable && attr->user != now.supervisor);
    if (!again) {
      opened_.push_back(now);
    }
    watch_.check_pages();
  }

  test::World& world_;
  fuzz::WorldWatch& watch_;
  std::vector<Opened> opened_;
  u64 used_ = 0;  ///< bytes of the buffer that may not be zero
  bool locked_ = false;
  bool runtime_ = false;
};

}  // namespace

std::span<std::string_view const> defects() {
  static constexpr std::array<std::string_view, 4> kDefects{"MessageSize", "RuntimeGate", "LockedUnblock",
                                                            "UnblockMmram"};
  return kDefects;
}

void run(std::span<std::byte const> data) {
  static test::World world;
  static bool const started = [] {
    world.set_policy(test::Blob::example());
    world.boot();
    for (auto const& [name, check] : lab::kCheckNames) {
      world.machine.defects |= planted(name) ? supervisor::bit_of(check) : 0;
    }
    return !world.machine.halted;
  }();
  static WorldWatch watch{world};
  MM_FUZZ_CHECK(started);
  Session{world, watch}.play(data);
}

}  // namespace mm::fuzz
