// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <span>
#include <vector>

#include "core/base/types.hpp"

/// What drivers answered lately: the mutations of `driver` put values of it into later messages. One thread.
namespace mm::fuzz {

/// Remembers the words of a reply that are not those of its message: handles, cookies, addresses.
void keep_reply(std::span<std::byte const> reply, std::span<std::byte const> message);

/// The words that were kept, in no order; empty before the first.
std::span<std::array<std::byte, 8> const> kept_words();

}  // namespace mm::fuzz
