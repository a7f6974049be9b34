// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <optional>
#include <span>
#include <type_traits>

#include "core/base/guid.hpp"
#include "core/base/types.hpp"

/// Bounds-checked little-endian reads of untrusted bytes.
namespace mm::image {

using Bytes = std::span<std::byte const>;

/// Whether [offset, offset + size) is inside `bytes`. Cannot wrap.
constexpr bool fits(Bytes bytes, u64 offset, u64 size) noexcept {
  return offset <= bytes.size() && size <= bytes.size() - offset;
}

/// The unsigned integer at `offset`; 0 when it is not inside `bytes`, so that a missing check cannot read beyond.
template <std::unsigned_integral T>
constexpr T load_le(Bytes bytes, u64 offset) noexcept {
  if (!fits(bytes, offset, sizeof(T))) {
    return 0;
  }
  u64 value = 0;
  for (u64 i = 0; i < sizeof(T); ++i) {
    value |= static_cast<u64>(bytes[static_cast<std::size_t>(offset + i)]) << (8 * i);
  }
  return static_cast<T>(value);
}

/// Three bytes, as FFS sizes are stored.
constexpr u32 load_le24(Bytes bytes, u64 offset) noexcept {
  return load_le<u16>(bytes, offset) | static_cast<u32>(load_le<u8>(bytes, offset + 2)) << 16;
}

constexpr Guid load_guid(Bytes bytes, u64 offset) noexcept {
  Guid g;
  g.data1 = load_le<u32>(bytes, offset);
  g.data2 = load_le<u16>(bytes, offset + 4);
  g.data3 = load_le<u16>(bytes, offset + 6);
  for (u64 i = 0; i < 8; ++i) {
    g.data4[static_cast<std::size_t>(i)] = load_le<u8>(bytes, offset + 8 + i);
  }
  return g;
}

/// A T as it lies at `offset`; nothing when it is not entirely inside `bytes`.
template <typename T>
  requires std::is_trivially_copyable_v<T>
constexpr std::optional<T> load_object(Bytes bytes, u64 offset) noexcept {
  if (!fits(bytes, offset, sizeof(T))) {
    return std::nullopt;
  }
  std::array<std::byte, sizeof(T)> raw{};
  for (std::size_t i = 0; i < raw.size(); ++i) {
    raw[i] = bytes[static_cast<std::size_t>(offset) + i];
  }
  return std::bit_cast<T>(raw);
}

/// bytes[offset, offset + size), cut to what there is.
constexpr Bytes slice(Bytes bytes, u64 offset, u64 size) noexcept {
  if (offset >= bytes.size()) {
    return {};
  }
  u64 const left = bytes.size() - offset;
  return bytes.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(size < left ? size : left));
}

/// Sum of all bytes, modulo 256.
constexpr u8 sum8(Bytes bytes) noexcept {
  u32 sum = 0;
  for (std::byte const b : bytes) {
    sum += static_cast<u32>(b);
  }
  return static_cast<u8>(sum);
}

}  // namespace mm::image
