// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>

#include "tools/lab/policy/model.hpp"

/// One access of ring 3 as a question to the policy engine.
namespace mm::policy_tools {

struct Access {
  policy::Type type{};
  u64 address = 0;  ///< MSR, port, memory address, instruction index or policy::SaveStateField
  u64 width = 1;    ///< bytes, of ports and memory
  u16 access = policy::kRead;
  policy::IoTrap trap = policy::IoTrap::None;  ///< save state: the I/O that raised the MMI
  friend bool operator==(Access const&, Access const&) = default;
};

/// "MSR 0xC0000080 write", "IO 0x3F8 write 1", "INSTRUCTION CLI", "SAVESTATE RAX read [during OUT]",
/// "MEMORY 0x1000 read 8" or only an address. Words in any case. Error: a sentence with what is allowed.
std::expected<Access, std::string> parse_access(std::string_view text);
/// The same form, for people.
std::string describe(Access const& access);

/// The decision of core/policy. Memory is not decided there: allowed when one entry of an allow list contains the
/// access with its right (or none of a deny list overlaps), which is what the report of a fetched policy says.
Status decide(std::span<std::byte const> blob, Access const& access) noexcept;

}  // namespace mm::policy_tools
