// SPDX-License-Identifier: BSD-2-Clause-Patent
// What the compiler may call in a freestanding ring-3 image.

#include <cstddef>
#include <cstdint>

// NOLINTBEGIN(readability-identifier-naming)
extern "C" {

[[clang::no_builtin]] void* memcpy(void* to, void const* from, std::size_t bytes) {
  auto* d = static_cast<unsigned char*>(to);
  auto const* s = static_cast<unsigned char const*>(from);
  for (; bytes >= 8; bytes -= 8, d += 8, s += 8) {
    __builtin_memcpy(d, s, 8);
  }
  for (; bytes != 0; --bytes) {
    *d++ = *s++;
  }
  return to;
}

[[clang::no_builtin]] void* memmove(void* to, void const* from, std::size_t bytes) {
  auto* d = static_cast<unsigned char*>(to);
  auto const* s = static_cast<unsigned char const*>(from);
  if (d < s) {
    for (std::size_t i = 0; i < bytes; ++i) {
      d[i] = s[i];
    }
  } else {
    for (std::size_t i = bytes; i != 0; --i) {
      d[i - 1] = s[i - 1];
    }
  }
  return to;
}

[[clang::no_builtin]] void* memset(void* to, int value, std::size_t bytes) {
  auto* d = static_cast<unsigned char*>(to);
  auto const byte = static_cast<unsigned char>(value);
  auto const word = 0x0101010101010101ull * byte;
  for (; bytes >= 8; bytes -= 8, d += 8) {
    __builtin_memcpy(d, &word, 8);
  }
  for (; bytes != 0; --bytes) {
    *d++ = byte;
  }
  return to;
}

// A word decides by its first byte that differs, the highest in big-endian order. GUIDs are looked up by this.
[[clang::no_builtin]] int memcmp(void const* a, void const* b, std::size_t bytes) {
  auto const* x = static_cast<unsigned char const*>(a);
  auto const* y = static_cast<unsigned char const*>(b);
  for (; bytes >= 8; bytes -= 8, x += 8, y += 8) {
    std::uint64_t left = 0;
    std::uint64_t right = 0;
    __builtin_memcpy(&left, x, 8);
    __builtin_memcpy(&right, y, 8);
    if (left != right) {
      return __builtin_bswap64(left) < __builtin_bswap64(right) ? -1 : 1;
    }
  }
  for (std::size_t i = 0; i < bytes; ++i) {
    if (x[i] != y[i]) {
      return x[i] < y[i] ? -1 : 1;
    }
  }
  return 0;
}

}  // extern "C"
// NOLINTEND(readability-identifier-naming)
