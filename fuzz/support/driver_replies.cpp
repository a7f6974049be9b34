// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "fuzz/support/driver_replies.hpp"

#include <algorithm>
#include <cstring>

namespace mm::fuzz {
namespace {

constexpr std::size_t kWords = 64;
constexpr std::size_t kLooked = 512;  ///< bytes of a reply

std::vector<std::array<std::byte, 8>> g_words;
std::size_t g_next = 0;

}  // namespace

void keep_reply(std::span<std::byte const> reply, std::span<std::byte const> message) {
  std::size_t const end = std::min(reply.size(), kLooked);
  for (std::size_t at = 0; at + 4 <= end; at += 4) {
    std::array<std::byte, 8> word{};
    std::size_t const bytes = std::min<std::size_t>(word.size(), end - at);
    std::memcpy(word.data(), reply.data() + at, bytes);
    bool const echoed = at + bytes <= message.size() && std::memcmp(message.data() + at, word.data(), bytes) == 0;
    if (echoed || word == std::array<std::byte, 8>{} || std::ranges::find(g_words, word) != g_words.end()) {
      continue;
    }
    if (g_words.size() < kWords) {
      g_words.push_back(word);
    } else {
      g_words[g_next++ % kWords] = word;
    }
  }
}

std::span<std::array<std::byte, 8> const> kept_words() { return g_words; }

}  // namespace mm::fuzz
