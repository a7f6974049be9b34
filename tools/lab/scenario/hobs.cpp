// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scenario/hobs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/abi/boot.hpp"
#include "core/abi/guids.hpp"
#include "core/abi/heap_guard.hpp"
#include "core/abi/hob.hpp"
#include "core/abi/platform.hpp"

namespace mm::lab {
namespace {

/// A HOB length is a multiple of 8 in 16 bits.
constexpr std::size_t kMaxHobBytes = 0xFFF8;
constexpr std::array kMadeByTheBoot{guids::gMmCommBufferHobGuid,      guids::gMmCommonRegionHobGuid,
                                    guids::gMpInformationHobGuid,     guids::gEfiMmPeiMmramMemoryReserveGuid,
                                    guids::gEfiSmmSmramMemoryGuid,    guids::gMmSupervisorPassDownHobGuid,
                                    guids::gMmSupervisorDepexHobGuid, abi::kTestOptionsHobGuid};

}  // namespace

std::expected<PlatformHob, std::string> parse_hob(std::string const& argument) {
  auto const colon = argument.find(':');
  if (colon == std::string::npos) {
    return std::unexpected(fmt::format("'{}' is not GUID:HEX or GUID:FILE", argument));
  }
  MM_TRY_ASSIGN(Guid const name, find_guid(argument.substr(0, colon)));
  auto const rest = argument.substr(colon + 1);
  if (rest.starts_with("0x")) {
    MM_TRY_ASSIGN(auto digits, parse_hex(std::string_view{rest}.substr(2)));
    return PlatformHob{name, std::move(digits)};
  }
  if (auto bytes = parse_hex(rest)) {
    std::error_code ignored;
    if (!rest.empty() && std::filesystem::exists(rest, ignored)) {
      return std::unexpected(fmt::format(
          "HOB {}: '{}' is hexadecimal, and there is a file of this name: write ./{} for the file, or 0x{} for the "
          "digits",
          named_guid(name), rest, rest, rest));
    }
    return PlatformHob{name, std::move(*bytes)};
  }
  auto bytes = read_file(rest);
  if (!bytes) {
    return std::unexpected(
        fmt::format("HOB {}: '{}' is neither hexadecimal digits nor a file that can be read", named_guid(name), rest));
  }
  return PlatformHob{name, std::move(*bytes)};
}

std::expected<Bytes, std::string> encode_hobs(std::vector<PlatformHob> const& hobs) {
  Bytes out;
  for (auto const& hob : hobs) {
    if (std::ranges::find(kMadeByTheBoot, hob.name) != kMadeByTheBoot.end()) {
      return std::unexpected(fmt::format("HOB {}: the boot code makes this one itself", named_guid(hob.name)));
    }
    if (hob.data.size() > kMaxHobBytes - sizeof(abi::HobGuid)) {
      return std::unexpected(fmt::format("HOB {}: {} bytes of data; a HOB takes {}", named_guid(hob.name),
                                         hob.data.size(), kMaxHobBytes - sizeof(abi::HobGuid)));
    }
    append_guid_hob(out, hob.name, std::span<std::byte const>{hob.data});
  }
  if (out.size() > platform::kExtraHobsLimit) {
    return std::unexpected(
        fmt::format("the HOBs need {} bytes, the platform has {}", out.size(), platform::kExtraHobsLimit));
  }
  return out;
}

void append_guid_hob(Bytes& to, Guid const& name, std::span<std::byte const> data) {
  abi::HobGuid header;
  header.header.length = static_cast<u16>(align_up(sizeof header + data.size(), 8));
  header.name = name;
  append_object(to, header);
  append_bytes(to, data);
  pad_to(to, 8);
}

Bytes heap_guard_hob(bool message) {
  Bytes out;
  append_guid_hob(out, abi::kHeapGuardHobGuid, abi::HeapGuardOptions{message ? 1u : 0u, 0});
  return out;
}

}  // namespace mm::lab
