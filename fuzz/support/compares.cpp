// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "fuzz/support/compares.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

/// libFuzzer's, where the program has it: a replay has not.
extern "C" [[gnu::weak]] void __sanitizer_cov_trace_cmp4(std::uint32_t left, std::uint32_t right);
extern "C" [[gnu::weak]] void __sanitizer_cov_trace_cmp8(std::uint64_t left, std::uint64_t right);

/// One for each compare and number of bytes in which its operands agree.
[[gnu::section("__libfuzzer_extra_counters")]] static std::array<mm::u8, 1 << 13> g_compare_counters;

namespace mm::fuzz {
namespace {

Range g_code;

constexpr std::size_t kRecent = 64;
std::array<Compare, kRecent> g_recent;
std::size_t g_seen = 0;

void remember(Compare const& one) noexcept {
  auto const known = recent_compares();
  if (std::find(known.begin(), known.end(), one) == known.end()) {
    g_recent[g_seen++ % kRecent] = one;
  }
}

unsigned equal_bytes(u64 left, u64 right, u32 bytes) noexcept {
  unsigned equal = 0;
  for (u32 i = 0; i < bytes; ++i) {
    equal += ((left ^ right) >> (8 * i) & 0xFF) == 0 ? 1u : 0u;
  }
  return equal;
}

}  // namespace

std::span<Compare const> recent_compares() { return std::span{g_recent}.first(std::min(g_seen, kRecent)); }

void forget_compares() noexcept { g_seen = 0; }

void watch_compares(Range code) { g_code = code; }

void note_compare(u64 at, u64 left, u64 right, u32 bytes) noexcept {
  if (at - g_code.base >= g_code.size || bytes == 0 || bytes > sizeof(u64)) {
    return;
  }
  if (left != right) {
    remember({left, right, bytes});
  }
  if (bytes == 8 && __sanitizer_cov_trace_cmp8 != nullptr) {
    __sanitizer_cov_trace_cmp8(left, right);
  } else if (bytes == 4 && __sanitizer_cov_trace_cmp4 != nullptr) {
    __sanitizer_cov_trace_cmp4(static_cast<u32>(left), static_cast<u32>(right));
  }
  u64 const site = at * 0x9E37'79B9'7F4A'7C15 >> 40;
  g_compare_counters[(site + equal_bytes(left, right, bytes)) % g_compare_counters.size()] = 1;
}

}  // namespace mm::fuzz
