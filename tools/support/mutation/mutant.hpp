// SPDX-License-Identifier: BSD-2-Clause-Patent
// Force-included into the sources that tools/mutate instruments; never part of a build of this tree. Number 0 is the
// original. In a host program the number is MM_MUTANT of the environment; in an image it is the word behind the mark,
// which the tool patches in the file.
#ifdef __cplusplus
#pragma once
#if __STDC_HOSTED__
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#endif

namespace mutant {

#if __STDC_HOSTED__
inline unsigned read_selected() noexcept {
  char const* const given = std::getenv("MM_MUTANT");
  return given == nullptr ? 0 : static_cast<unsigned>(std::atoi(given));
}
/// A byte for each mutant, in the file MM_MUTANT_REACH: set when its place was executed.
inline unsigned char* map_reach() noexcept {
  char const* const name = std::getenv("MM_MUTANT_REACH");
  int const file = name == nullptr ? -1 : ::open(name, O_RDWR | O_CLOEXEC);
  void* const map = file < 0 ? MAP_FAILED : ::mmap(nullptr, 1u << 17, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (file >= 0) {
    ::close(file);
  }
  return map == MAP_FAILED ? nullptr : static_cast<unsigned char*>(map);
}
inline unsigned const selected = read_selected();
inline unsigned char* const reached = map_reach();

inline bool is_on(unsigned number) noexcept {
  if (reached != nullptr) {
    reached[number] = 1;
  }
  return selected == number;
}
consteval bool is_there(unsigned) noexcept { return true; }
#else
#ifdef MM_MUTANT_CHOSEN
#include MM_MUTANT_CHOSEN  // inline constexpr unsigned chosen[]: the numbers that are in this image
#else
inline constexpr unsigned chosen[] = {0xFFFFFFFFu};
#endif
inline unsigned volatile selected[5] = {0x4D4D5554u, 0x9E3779B9u, 0x7F4A7C15u, 0xF39CC060u, 0};

inline bool is_on(unsigned number) noexcept { return selected[4] == number; }
consteval bool is_there(unsigned number) noexcept {
  for (unsigned const one : chosen) {
    if (one == number) {
      return true;
    }
  }
  return false;
}
#endif

template <unsigned Number>
[[gnu::always_inline]] constexpr bool active() noexcept {
  if consteval {
    return false;
  } else {
    if constexpr (is_there(Number)) {
      return is_on(Number);
    } else {
      return false;
    }
  }
}
template <unsigned Number, typename A, typename B>
[[gnu::always_inline]] constexpr bool lt(A const& a, B const& b) noexcept {
  return active<Number>() ? a <= b : a < b;
}
template <unsigned Number, typename A, typename B>
[[gnu::always_inline]] constexpr bool le(A const& a, B const& b) noexcept {
  return active<Number>() ? a < b : a <= b;
}
template <unsigned Number, typename A, typename B>
[[gnu::always_inline]] constexpr bool gt(A const& a, B const& b) noexcept {
  return active<Number>() ? a >= b : a > b;
}
template <unsigned Number, typename A, typename B>
[[gnu::always_inline]] constexpr bool ge(A const& a, B const& b) noexcept {
  return active<Number>() ? a > b : a >= b;
}
/// A constant that is one too large, and a flag that is not set.
template <unsigned Number, typename T>
[[gnu::always_inline]] constexpr T off(T value) noexcept {
  return active<Number>() ? static_cast<T>(value + 1) : value;
}
template <unsigned Number, typename T>
[[gnu::always_inline]] constexpr T none(T value) noexcept {
  return active<Number>() ? static_cast<T>(0) : value;
}

}  // namespace mutant
#endif
