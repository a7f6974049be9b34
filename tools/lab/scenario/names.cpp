// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <array>
#include <cctype>
#include <utility>

#include "tools/lab/scenario/names.hpp"

namespace mm::lab {
namespace {
template <typename T, std::size_t N>
std::string_view name_in(std::array<std::pair<std::string_view, T>, N> const& table, T value) {
  for (auto const& [name, v] : table) {
    if (v == value) {
      return name;
    }
  }
  return "";
}
}  // namespace

std::string_view status_name(u64 status) { return name_in(kStatusNames, static_cast<Status>(status)); }
std::string status_text(u64 status) {
  auto const name = status_name(status);
  return name.empty() ? hex_number(status) : std::string{name};
}
std::string efi_status_name(u64 status) {
  auto const name = status_name(status);
  std::string out;
  for (char const c : name) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0 && !out.empty()) {
      out.push_back('_');
    }
    out.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return out.empty() ? hex_number(status) : out;
}

std::string_view event_name(hal::TraceKind kind) { return name_in(kEventNames, kind); }
std::string_view halt_name(hal::HaltReason reason) { return name_in(kHaltNames, reason); }
std::string_view communicate_error_name(u64 error) {
  constexpr std::array<std::string_view, 13> kNames{"CallInProgress",
                                                    "NoCommBuffer",
                                                    "InvalidDataBuffer",
                                                    "SwMmiServiceNotAvailable",
                                                    "CommBufferNotFound",
                                                    "CommBufferTooSmall",
                                                    "CommBufferInitError",
                                                    "CommBufferBusy",
                                                    "SwMmiFailed",
                                                    "MmDidNotAnswer",
                                                    "MmFailed",
                                                    "InvalidResponse",
                                                    "ReplyTooLong"};
  return error < kNames.size() ? kNames[error] : "";
}

}  // namespace mm::lab
