// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/policy/policy.hpp"

/// The words of the XML source (core/policy/FORMAT.md 6) and of what the tools print.
namespace mm::policy_tools {

/// SmmCategory names. MEM is ours: the field's tool knows it only as a placeholder of the blob.
inline constexpr std::array<std::pair<std::string_view, policy::Type>, 5> kCategories{
    {{"IO", policy::Type::Io},
     {"MSR", policy::Type::Msr},
     {"INSTRUCTION", policy::Type::Instruction},
     {"SAVESTATE", policy::Type::SaveState},
     {"MEM", policy::Type::Mem}}};
inline constexpr std::array<std::string_view, 3> kInstructions{"CLI", "WBINVD", "HLT"};
inline constexpr std::array<std::string_view, 2> kFields{"RAX", "IO_TRAP"};
inline constexpr std::array<std::string_view, 3> kConditions{"UNCONDITIONAL", "IOREAD", "IOWRITE"};

/// A number below 2^64, decimal or with 0x; nothing when it is none.
std::optional<u64> parse_number(std::string_view text);
std::string_view category_name(policy::Type type) noexcept;
/// "Read | Write | StrictWidth": the SecurityAttributes value of these bits.
std::string attribute_words(u32 attributes);
/// The bits of a SecurityAttributes value, as the field's tool finds them: by substring, case-sensitive.
u32 attribute_bits(std::string_view words) noexcept;
/// Bits that the source can say for a category.
u32 expressible_attributes(policy::Type type) noexcept;
/// "read", "write", "execute", joined with "and".
std::string access_words(u32 attributes);
/// 0x with upper-case digits, as the sources of the field write numbers.
std::string hex(u64 value);
std::string lower(std::string_view text);

}  // namespace mm::policy_tools
