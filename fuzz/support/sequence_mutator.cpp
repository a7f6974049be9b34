// SPDX-License-Identifier: BSD-2-Clause-Patent
// Mutations that know what an input of `communicate` is: messages come, go and change places; requests and commands of
// the driver Attacker get addresses at which something begins or ends.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "core/abi/comm.hpp"
#include "core/abi/platform.hpp"
#include "tools/lab/fuzzing/sequence.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace mm::fuzz {
namespace {

using lab::Bytes;
using lab::kSequenceHeadBytes;

constexpr u64 kMmram = platform::kDefaultRamBytes - platform::kDefaultTsegBytes;
constexpr std::array<u64, 20> kEdges{0,
                                     1,
                                     kPageSize,
                                     platform::kFvBase,
                                     platform::kUserCommBuffer,
                                     platform::kSupervisorCommBuffer,
                                     platform::kUserCommStatus,
                                     platform::kSupervisorCommStatus,
                                     platform::kScratch,
                                     kMmram - kPageSize,
                                     kMmram,
                                     kMmram + 0x8000,
                                     kMmram + 0x10'0000,
                                     kMmram + 0x40'0000,
                                     platform::kDefaultRamBytes - kPageSize,
                                     platform::kDefaultRamBytes,
                                     0xFEE0'0000,
                                     u64{1} << 32,
                                     u64{1} << 47,
                                     UINT64_MAX - kPageSize + 1};
constexpr u8 kAttacker = 3, kRequests = 4;  ///< handlers, numbered as in kSequenceHandlers from 1
constexpr u8 kAttackerCommands = 21;
constexpr u8 kSupervisorChannel = 1, kSignature = 2;

/// One message as it lies in the input.
struct Part {
  std::array<u8, kSequenceHeadBytes> head{};
  std::vector<u8> body;
};

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  std::vector<u8> mutate(std::span<u8 const> input, std::size_t most) {
    auto parts = split(input);
    change(parts);
    auto out = join(parts);
    if (out.size() > most) {
      out.resize(most);
    }
    return out;
  }

 private:
  u32 below(std::size_t limit) { return static_cast<u32>(random_() % limit); }
  u64 edge() {
    u64 const base = kEdges[below(kEdges.size())];
    return below(4) != 0 ? base : base + below(17) - 8;
  }

  static std::vector<Part> split(std::span<u8 const> in) {
    std::vector<Part> parts;
    while (in.size() >= kSequenceHeadBytes && parts.size() < lab::kSequenceMessages) {
      Part& p = parts.emplace_back();
      std::copy_n(in.begin(), kSequenceHeadBytes, p.head.begin());
      std::size_t const claimed = p.head[4] + std::size_t{p.head[5]} * 256;
      auto const bytes = std::min(claimed, in.size() - kSequenceHeadBytes);
      p.body.assign(in.begin() + kSequenceHeadBytes,
                    in.begin() + static_cast<std::ptrdiff_t>(kSequenceHeadBytes + bytes));
      in = in.subspan(kSequenceHeadBytes + bytes);
    }
    return parts;
  }

  static std::vector<u8> join(std::vector<Part> const& parts) {
    std::vector<u8> out;
    for (Part const& p : parts) {
      auto head = p.head;
      head[4] = static_cast<u8>(p.body.size());
      head[5] = static_cast<u8>(p.body.size() >> 8);
      out.insert(out.end(), head.begin(), head.end());
      out.insert(out.end(), p.body.begin(), p.body.end());
    }
    return out;
  }

  void change(std::vector<Part>& parts) {
    if (parts.empty()) {
      parts.push_back(fresh());
      return;
    }
    std::size_t const at = below(parts.size());
    switch (below(12)) {
      case 0:
        parts.push_back(fresh());
        break;
      case 1:
        parts.insert(parts.begin() + static_cast<std::ptrdiff_t>(at), parts[below(parts.size())]);
        break;
      case 2:
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      case 3:
        std::swap(parts[at], parts[below(parts.size())]);
        break;
      case 4:
        change_head(parts[at]);
        break;
      case 5:
      case 6:
        put_edge(parts[at]);
        break;
      default:
        change_body(parts[at]);
        break;
    }
    if (parts.size() > lab::kSequenceMessages) {
      parts.resize(lab::kSequenceMessages);
    }
  }

  void change_head(Part& p) {
    switch (below(4)) {
      case 0:
        p.head[0] = static_cast<u8>(below(lab::kSequenceHandlers.size() + 1));
        break;
      case 1:
        p.head[1] = static_cast<u8>(below(4));
        break;
      case 2:
        p.head[2] = static_cast<u8>(below(3));
        break;
      default:
        p.head[3] = static_cast<u8>(random_());
        break;
    }
  }
  void put_edge(Part& p) {
    if (p.body.size() >= sizeof(u64)) {
      put(p, below((p.body.size() - sizeof(u64)) / 4 + 1) * 4, edge());
    }
  }
  void change_body(Part& p) {
    constexpr std::size_t kRoom = 64;
    std::size_t const size = p.body.size();
    p.body.resize(std::min<std::size_t>(size + kRoom, UINT16_MAX));
    p.body.resize(LLVMFuzzerMutate(p.body.data(), size, p.body.size()));
  }
  static void put(Part& p, std::size_t at, u64 value, std::size_t width = sizeof(u64)) {
    std::memcpy(p.body.data() + at, &value, width);
  }

  Part fresh() {
    switch (below(3)) {
      case 0:
        return attack();
      case 1:
        return request();
      default:
        break;
    }
    Part p;
    p.head = {static_cast<u8>(below(lab::kSequenceHandlers.size()) + 1), static_cast<u8>(below(2)), 1, 0, 0, 0};
    p.body.resize(below(64));
    return p;
  }
  /// Command, argument, second argument: scenarios/drivers/attacker.cpp.
  Part attack() {
    Part p;
    p.head = {kAttacker, 0, 1, 0, 0, 0};
    p.body.resize(24);
    put(p, 0, below(kAttackerCommands), 1);
    put(p, 8, below(2) != 0 ? edge() : below(0x100));
    put(p, 16, below(2) != 0 ? edge() : below(0x100));
    return p;
  }
  /// A request whose payload is that of an unblock (abi::UnblockMemoryParams).
  Part request() {
    Part p;
    p.head = {kRequests, kSupervisorChannel | kSignature, 1, 0, 0, 0};
    p.body.resize(sizeof(abi::SupervisorRequestHeader) - sizeof(u32) + sizeof(abi::UnblockMemoryParams));
    put(p, 0, 1, 4);
    put(p, 4, below(6), 4);
    constexpr std::size_t kPayload = sizeof(abi::SupervisorRequestHeader) - sizeof(u32);
    put(p, kPayload + 8, edge());
    put(p, kPayload + 24, below(4));
    put(p, kPayload + 32, below(2) != 0 ? abi::kMemoryXp : abi::kMemoryXp | abi::kMemorySp);
    put(p, kPayload + 40, random_());
    return p;
  }

  std::minstd_rand random_;
};

}  // namespace
}  // namespace mm::fuzz

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  constexpr unsigned kBlind = 8;  // one mutation in so many knows nothing of messages
  if (seed % kBlind == 0) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  auto const out = mm::fuzz::Mutator{seed}.mutate({data, size}, max_size);
  std::copy(out.begin(), out.end(), data);
  return out.size();
}
