// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy_advice/core_refusal.hpp"

#include <fmt/format.h>

#include "tools/lab/policy/names.hpp"

namespace mm::policy_tools {

policy::Foundation const* core_refusal(Access const& access, u32 config_address) noexcept {
  switch (access.type) {
    case policy::Type::Msr:
      return policy::foundation_of_msr(static_cast<u32>(access.address), access.access);
    case policy::Type::Io:
      return policy::foundation_of_io(access.address, access.width, access.access, config_address);
    case policy::Type::Instruction:
      return policy::foundation_of_instruction(static_cast<u16>(access.address));
    case policy::Type::Mem:
    case policy::Type::SaveState:
      return nullptr;
  }
  return nullptr;
}

bool depends_on_config_address(Access const& access) noexcept {
  return access.type == policy::Type::Io && core_refusal(access) == nullptr &&
         policy::reaches_config_data(access.address, access.width, access.access);
}

std::string row_text(policy::Foundation const& row) { return fmt::format("{}: {}", row.name, row.why); }

std::string allowing_entry(Access const& access) {
  auto const rights = attribute_words(access.access);
  switch (access.type) {
    case policy::Type::Msr:
    case policy::Type::Io:
      return fmt::format(
          R"(<PolicyEntry><StartAddress Value="{}"/><Size Value="{}"/><SecurityAttributes Value="{}"/></PolicyEntry>)",
          hex(access.address), hex(access.type == policy::Type::Io ? access.width : 1), rights);
    case policy::Type::Instruction:
      return access.address < kInstructions.size()
                 ? fmt::format(
                       R"(<PolicyEntry><Instruction Value="{}"/><SecurityAttributes Value="Execute"/></PolicyEntry>)",
                       kInstructions[access.address])
                 : "";
    case policy::Type::Mem:
    case policy::Type::SaveState:
      return "";
  }
  return "";
}

}  // namespace mm::policy_tools
