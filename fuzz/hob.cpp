// SPDX-License-Identifier: BSD-2-Clause-Patent
// The hand-over: a HOB list and a secure policy, in MMRAM whose page tables are good, are given to the first MMI. Bytes
// 0 and 1 of the input are the length of the policy, which follows; the rest is the list. The supervisor starts, or
// refuses with its reason; either way it touches only what is its own.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>

#include "fuzz/support/target.hpp"
#include "fuzz/support/world_watch.hpp"

namespace mm::fuzz {
namespace {

constexpr u64 kPolicyAt = test::kData + 0x1000;
constexpr u64 kPolicyRoom = 0x2000;
constexpr u64 kListRoom = test::kCore - test::kHobs;

/// The payload of a GUID HOB of this name that is long enough.
template <typename T>
std::optional<T> payload(std::span<std::byte const> hob, Guid const& name) {
  if (hob.size() < sizeof(abi::HobGuid) + sizeof(T)) {
    return std::nullopt;
  }
  abi::HobGuid head;
  T value;
  std::memcpy(&head, hob.data(), sizeof head);
  std::memcpy(&value, hob.data() + sizeof head, sizeof value);
  return head.name == name ? std::optional{value} : std::nullopt;
}

/// What a list that was accepted must have said: PassDown of revision 2, in whole HOBs.
void check_accepted(std::span<std::byte const> list) {
  bool pass_down = false;
  for (std::size_t at = 0; at + sizeof(abi::HobHeader) <= list.size();) {
    abi::HobHeader header;
    std::memcpy(&header, list.data() + at, sizeof header);
    if (header.type == static_cast<u16>(abi::HobType::EndOfHobList)) {
      break;
    }
    MM_FUZZ_CHECK(header.length >= sizeof header && header.length % 8 == 0);
    if (header.type == static_cast<u16>(abi::HobType::GuidExtension)) {
      auto const hob = list.subspan(at, std::min<std::size_t>(header.length, list.size() - at));
      auto const p = payload<abi::PassDown>(hob, guids::gMmSupervisorPassDownHobGuid);
      pass_down = pass_down || (p && p->revision == 2);
      MM_FUZZ_CHECK(!fuzz::planted("NothingUnblocked") ||
                    !payload<abi::UnblockMemoryParams>(hob, guids::gMmSupvUnblockRegionHobGuid));
    }
    at += header.length;
  }
  MM_FUZZ_CHECK(pass_down);
}

/// One message on each channel: a supervisor that has started answers.
void use(test::World& world, fuzz::WorldWatch& watch) {
  for (auto const which : {abi::Channel::User, abi::Channel::Supervisor}) {
    world.machine.reads.clear();
    world.request(which, guids::gMmSupervisorRequestHandlerGuid, std::vector<u8>(24));
    world.mmi();
    watch.check_accesses();
    watch.check_single_fetch();
    MM_FUZZ_CHECK(!world.machine.halted);
  }
}

}  // namespace

std::span<std::string_view const> defects() {
  static constexpr std::array<std::string_view, 1> kDefects{"NothingUnblocked"};
  return kDefects;
}

void run(std::span<std::byte const> data) {
  static test::World world;
  static WorldWatch watch{world};
  u16 policy_bytes = 0;
  if (data.size() < sizeof policy_bytes) {
    return;
  }
  std::memcpy(&policy_bytes, data.data(), sizeof policy_bytes);
  data = data.subspan(sizeof policy_bytes);
  auto const blob = data.first(std::min<std::size_t>({policy_bytes, data.size(), kPolicyRoom}));
  auto const list = data.subspan(blob.size());
  watch.reset();
  world.machine.memory.write(kPolicyAt, blob);
  world.machine.memory.zero(test::kHobs, kListRoom);
  world.machine.memory.write(test::kHobs, list.first(std::min<std::size_t>(list.size(), kListRoom)));
  world.machine.writes.clear();
  world.boot();
  watch.check_accesses();
  if (world.machine.halted) {
    auto const why = *world.machine.halted;
    MM_FUZZ_CHECK(why == hal::HaltReason::InitFailed || why == hal::HaltReason::PolicyInvalid ||
                  why == hal::HaltReason::RendezvousTimeout);
    return;
  }
  check_accepted(list);
  watch.check_pages();
  use(world, watch);
}

}  // namespace mm::fuzz
