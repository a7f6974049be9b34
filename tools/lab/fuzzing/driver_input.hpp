// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <span>
#include <vector>

#include "tools/lab/text/bytes.hpp"

/// The inputs of `mmsim fuzz driver`: messages to the handlers of one machine, in order, each a head of four bytes and
/// its bytes (format: fuzz/DRIVER.md). Any bytes are messages: what is missing is not there.
namespace mm::lab {

inline constexpr std::size_t kDriverHeadBytes = 4;
inline constexpr std::size_t kMostDriverMessages = 64;  ///< that --max-messages may allow
inline constexpr std::size_t kMostDriverBytes = 60000;  ///< that --max-len may allow: what a buffer has room for

struct DriverMessage {
  u8 handler = 0;  ///< modulo the number of handlers
  u8 flags = 0;    ///< nothing yet
  Bytes data;      ///< message without its header
  friend bool operator==(DriverMessage const&, DriverMessage const&) = default;
};

/// The messages of an input: at most `most`, each of at most `most_bytes`.
std::vector<DriverMessage> split_messages(std::span<std::byte const> input, std::size_t most, std::size_t most_bytes);
/// The input that has these messages.
Bytes join_messages(std::span<DriverMessage const> messages);

}  // namespace mm::lab
