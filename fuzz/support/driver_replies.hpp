// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <span>
#include <vector>

#include "core/base/types.hpp"

/// What drivers answered lately: the mutations of `driver` put values of it into later messages. One thread.
namespace mm::fuzz {

/// Eight bytes of a reply, and where in it they were: a field often has the same place in the next message.
struct ReplyWord {
  std::array<std::byte, 8> bytes{};
  std::size_t offset = 0;
  friend bool operator==(ReplyWord const&, ReplyWord const&) = default;
};

/// Remembers the words of a reply that are not those of its message: handles, cookies, addresses.
void keep_reply(std::span<std::byte const> reply, std::span<std::byte const> message);

/// The words that were kept, in no order; empty before the first.
std::span<ReplyWord const> kept_words();

}  // namespace mm::fuzz
