// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <concepts>
#include <string_view>

#include "core/base/types.hpp"

namespace mm::communication {

/// Where a line of the component belongs; the names are those of the field's component, so filters carry over.
enum class LogTarget : u8 { MmComm, SwMmi };
enum class LogLevel : u8 { Error, Warning, Info, Debug };

/// "mm_comm" or "sw_mmi".
constexpr std::string_view log_name(LogTarget target) noexcept {
  return target == LogTarget::MmComm ? "mm_comm" : "sw_mmi";
}

/// Takes one line: a fixed text and the one number it is about. Must not fail and must not call back.
template <typename L>
concept Log = requires(L& l, LogTarget target, LogLevel level, std::string_view text, u64 value) {
  { l.log(target, level, text, value) } noexcept;
};

struct NullLog {
  void log(LogTarget, LogLevel, std::string_view, u64) noexcept {}
};
static_assert(Log<NullLog>);

}  // namespace mm::communication
