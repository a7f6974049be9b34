// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/firmware/depex_file.hpp"

#include <fmt/format.h>

namespace mm::lab {
namespace {

constexpr u64 kLastOpcode = 9;
constexpr u64 kAlignment = 4;

}  // namespace

std::span<std::byte const> depex_of_section(std::span<std::byte const> bytes) {
  constexpr u64 kExtended = 0xFF'FFFF;
  u64 const type = load_int(bytes, 3, 1);
  bool const extended = load_int(bytes, 0, 3) == kExtended;
  u64 const header = extended ? 8 : 4;
  u64 const size = extended ? load_int(bytes, 4, 4) : load_int(bytes, 0, 3);
  // Behind a section there may be what aligns the next one.
  bool const whole = size >= header && size <= bytes.size() && bytes.size() - size < kAlignment;
  bool const depex = type == 0x13 || type == 0x1B || type == 0x1C;
  return whole && depex ? bytes.subspan(static_cast<std::size_t>(header), static_cast<std::size_t>(size - header))
                        : bytes;
}

std::expected<Bytes, std::string> read_depex_file(std::filesystem::path const& path) {
  MM_TRY_ASSIGN(auto const bytes, read_file(path));
  auto const depex = depex_of_section(bytes);
  if (!depex.empty() && load_int(depex, 0, 1) > kLastOpcode) {
    return std::unexpected(fmt::format(
        "{}: neither a dependency expression (opcodes 0x00 to 0x09) nor a DEPEX section: its first byte is {:#04x}",
        path.string(), load_int(depex, 0, 1)));
  }
  return Bytes{depex.begin(), depex.end()};
}

}  // namespace mm::lab
