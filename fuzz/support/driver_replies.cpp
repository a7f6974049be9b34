// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "fuzz/support/driver_replies.hpp"

#include <algorithm>
#include <cstring>

namespace mm::fuzz {
namespace {

constexpr std::size_t kWords = 64;
constexpr std::size_t kLooked = 512;  ///< bytes of a reply

std::vector<ReplyWord> g_words;
std::size_t g_next = 0;

}  // namespace

void keep_reply(std::span<std::byte const> reply, std::span<std::byte const> message) {
  std::size_t const end = std::min(reply.size(), kLooked);
  for (std::size_t at = 0; at + 4 <= end; at += 4) {
    ReplyWord word{{}, at};
    std::size_t const bytes = std::min<std::size_t>(word.bytes.size(), end - at);
    std::memcpy(word.bytes.data(), reply.data() + at, bytes);
    bool const echoed = at + 4 <= message.size() && std::memcmp(message.data() + at, word.bytes.data(), 4) == 0;
    bool const known = std::ranges::find(g_words, word) != g_words.end();
    if (echoed || known || word.bytes == std::array<std::byte, 8>{}) {
      continue;
    }
    if (g_words.size() < kWords) {
      g_words.push_back(word);
    } else {
      g_words[g_next++ % kWords] = word;
    }
  }
}

std::span<ReplyWord const> kept_words() { return g_words; }

}  // namespace mm::fuzz
