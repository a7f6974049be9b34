// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <bit>

#include "core/base/types.hpp"

namespace mm {

/// EFI_GUID in its in-memory form: 16 bytes, the first three fields little-endian (UEFI 2.10 appendix A).
struct Guid {
  u32 data1 = 0;
  u16 data2 = 0;
  u16 data3 = 0;
  std::array<u8, 8> data4{};

  friend constexpr bool operator==(Guid const& x, Guid const& y) noexcept {
    struct Words {
      u64 low, high;
    };
    auto const a = std::bit_cast<Words>(x);
    auto const b = std::bit_cast<Words>(y);
    return ((a.low ^ b.low) | (a.high ^ b.high)) == 0;
  }
  friend constexpr auto operator<=>(Guid const&, Guid const&) = default;
  constexpr bool is_zero() const noexcept { return *this == Guid{}; }
};
static_assert(sizeof(Guid) == 16);

namespace detail {
/// Not constexpr and not defined: reaching it makes a GUID literal ill-formed.
void not_a_guid_literal(char const* why);

consteval u8 hex_digit(char c) {
  if (c >= '0' && c <= '9') {
    return static_cast<u8>(c - '0');
  }
  if (c >= 'A' && c <= 'F') {
    return static_cast<u8>(c - 'A' + 10);
  }
  if (c >= 'a' && c <= 'f') {
    return static_cast<u8>(c - 'a' + 10);
  }
  not_a_guid_literal("not a hexadecimal digit");
  return 0;
}
consteval u64 hex_number(char const* text, std::size_t from, std::size_t digits) {
  u64 v = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    v = v << 4 | hex_digit(text[from + i]);
  }
  return v;
}
}  // namespace detail

/// "8C633B23-1260-4EA6-830F-7DDC97382111"_guid, checked at compile time.
consteval Guid operator""_guid(char const* text, std::size_t length) {
  if (length != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-') {
    detail::not_a_guid_literal("the form is XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX");
  }
  Guid g;
  g.data1 = static_cast<u32>(detail::hex_number(text, 0, 8));
  g.data2 = static_cast<u16>(detail::hex_number(text, 9, 4));
  g.data3 = static_cast<u16>(detail::hex_number(text, 14, 4));
  g.data4[0] = static_cast<u8>(detail::hex_number(text, 19, 2));
  g.data4[1] = static_cast<u8>(detail::hex_number(text, 21, 2));
  for (std::size_t i = 0; i < 6; ++i) {
    g.data4[2 + i] = static_cast<u8>(detail::hex_number(text, 24 + 2 * i, 2));
  }
  return g;
}

}  // namespace mm
