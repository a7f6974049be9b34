// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "core/abi/comm.hpp"
#include "core/base/types.hpp"

/// Where a platform's communicate buffers are, as text: ADDRESS,PAGES,MAILBOX. The ROM says so on the kernel command
/// line.
namespace mm::linux_tool {

inline constexpr u64 kMailboxBytes = sizeof(abi::CommBufferStatus);

struct CommRegion {
  u64 address = 0;
  u64 pages = 0;    ///< of 4 KiB
  u64 mailbox = 0;  ///< 0: none
  u64 bytes() const noexcept { return pages * kPageSize; }
  friend bool operator==(CommRegion const&, CommRegion const&) = default;
};

/// A whole number, decimal or 0x hexadecimal. Error: a sentence.
std::expected<u64, std::string> parse_number(std::string_view text);
/// "0x4000000,16,0x4020000"; the mailbox may be left out. Error: a sentence that says what is wrong: not two or three
/// numbers, an address that is not on a page, no page or more than 4096, a mailbox that is not on 8 bytes or lies in
/// the buffer, an end that wraps.
std::expected<CommRegion, std::string> parse_comm_region(std::string_view text);
/// The value of `name=` among the words of a kernel command line; empty when it is not there.
std::string_view kernel_parameter(std::string_view command_line, std::string_view name);

}  // namespace mm::linux_tool
