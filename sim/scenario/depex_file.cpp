// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/scenario/depex_file.hpp"

#include <fmt/format.h>

namespace mm::scenario {
namespace {

constexpr std::size_t kSectionHeader = 4;
constexpr u64 kLastOpcode = 9;

/// A section whose size is that of the file, of one of the three DEPEX types. No expression looks so: its first byte
/// would be an opcode, and the fourth none.
bool is_section(Bytes const& bytes) {
  u64 const type = load_int(bytes, 3, 1);
  return bytes.size() > kSectionHeader && load_int(bytes, 0, 3) == bytes.size() &&
         (type == 0x13 || type == 0x1B || type == 0x1C);
}

}  // namespace

std::expected<Bytes, std::string> read_depex_file(std::filesystem::path const& path) {
  MM_TRY_ASSIGN(auto bytes, read_file(path));
  if (is_section(bytes)) {
    bytes.erase(bytes.begin(), bytes.begin() + kSectionHeader);
  }
  if (!bytes.empty() && load_int(bytes, 0, 1) > kLastOpcode) {
    return std::unexpected(fmt::format(
        "{}: neither a dependency expression (opcodes 0x00 to 0x09) nor a DEPEX section: its first byte is {:#04x}",
        path.string(), load_int(bytes, 0, 1)));
  }
  return bytes;
}

}  // namespace mm::scenario
