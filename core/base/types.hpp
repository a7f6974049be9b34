// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <expected>

/// Integer shorthands and distinct address types of the MM Supervisor.
namespace mm {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

inline constexpr u64 kPageSize = 4096;
inline constexpr u64 kPageShift = 12;

/// EFI_STATUS, 64-bit values (UEFI 2.10 appendix D; PI 1.8 for the MM-specific ones).
enum class Status : u64 {
  Success = 0,
  WarnInterruptSourcePending = 0x2000000000000000,
  WarnInterruptSourceQuiesced = 0x2000000000000001,
  LoadError = 0x8000000000000001,
  InvalidParameter = 0x8000000000000002,
  Unsupported = 0x8000000000000003,
  BadBufferSize = 0x8000000000000004,
  BufferTooSmall = 0x8000000000000005,
  NotReady = 0x8000000000000006,
  DeviceError = 0x8000000000000007,
  WriteProtected = 0x8000000000000008,
  OutOfResources = 0x8000000000000009,
  VolumeCorrupted = 0x800000000000000A,
  NotFound = 0x800000000000000E,
  AccessDenied = 0x800000000000000F,
  NoMapping = 0x8000000000000011,
  Timeout = 0x8000000000000012,
  NotStarted = 0x8000000000000013,
  AlreadyStarted = 0x8000000000000014,
  Aborted = 0x8000000000000015,
  IncompatibleVersion = 0x8000000000000019,
  SecurityViolation = 0x800000000000001A,
  CrcError = 0x800000000000001B,
  CompromisedData = 0x8000000000000021,
  InterruptPending = 0xA000000000000000,
  NotAvailableYet = 0xA000000000000002,
};

/// EFI_ERROR(): true when bit 63 is set.
constexpr bool is_error(Status s) noexcept { return (static_cast<u64>(s) >> 63) != 0; }

/// A value or the EFI_STATUS that says why there is none.
template <typename T>
using Expected = std::expected<T, Status>;

/// Returns the error of `expr` from the enclosing function; discards a success value.
#define MM_TRY(expr)                                                 \
  do {                                                               \
    if (auto mm_try_result_ = (expr); !mm_try_result_.has_value()) { \
      return std::unexpected(mm_try_result_.error());                \
    }                                                                \
  } while (false)

#define MM_TRY_CAT2_(a, b) a##b
#define MM_TRY_CAT_(a, b) MM_TRY_CAT2_(a, b)
#define MM_TRY_ASSIGN_(tmp, decl, expr)  \
  auto tmp = (expr);                     \
  if (!tmp.has_value()) {                \
    return std::unexpected(tmp.error()); \
  }                                      \
  decl = *tmp
/// `MM_TRY_ASSIGN(auto x, f());` - binds the value or returns the error.
#define MM_TRY_ASSIGN(decl, expr) MM_TRY_ASSIGN_(MM_TRY_CAT_(mm_try_, __LINE__), decl, expr)

/// A physical address of the machine. In MM the supervisor's tables are identity maps, so ring-3 virtual addresses are
/// physical addresses too; what differs is trust, see UserAddr.
enum class PhysAddr : u64 {};
/// An address that ring 3 or the normal world gave us: never dereferenced before it was checked.
enum class UserAddr : u64 {};

constexpr u64 raw(PhysAddr a) noexcept { return static_cast<u64>(a); }
constexpr u64 raw(UserAddr a) noexcept { return static_cast<u64>(a); }
constexpr PhysAddr operator+(PhysAddr a, u64 n) noexcept { return PhysAddr{raw(a) + n}; }

/// a + b, or nothing when the sum wraps.
constexpr std::expected<u64, Status> checked_add(u64 a, u64 b) noexcept {
  if (a > UINT64_MAX - b) {
    return std::unexpected(Status::InvalidParameter);
  }
  return a + b;
}
/// a * b, or nothing when the product wraps.
constexpr std::expected<u64, Status> checked_mul(u64 a, u64 b) noexcept {
  if (b != 0 && a > UINT64_MAX / b) {
    return std::unexpected(Status::InvalidParameter);
  }
  return a * b;
}
/// Rounds up to a multiple of the power of two `align`; wraps for values within `align` of 2^64: check first.
constexpr u64 align_up(u64 v, u64 align) noexcept { return (v + align - 1) & ~(align - 1); }
constexpr u64 align_down(u64 v, u64 align) noexcept { return v & ~(align - 1); }
constexpr u64 pages_for(u64 bytes) noexcept { return (bytes >> kPageShift) + ((bytes & (kPageSize - 1)) != 0 ? 1 : 0); }

/// [base, base + size) in physical memory. Never wraps when made by make().
struct Range {
  u64 base = 0;
  u64 size = 0;

  static constexpr Expected<Range> make(u64 base, u64 size) noexcept {
    if (size != 0 && base > UINT64_MAX - (size - 1)) {
      return std::unexpected(Status::InvalidParameter);
    }
    return Range{base, size};
  }
  /// One past the last byte; wraps to 0 for a range that ends at 2^64.
  constexpr u64 end() const noexcept { return base + size; }
  /// Whether every byte of `other` is in this range. An empty `other` is contained nowhere.
  constexpr bool contains(Range other) const noexcept {
    return other.size != 0 && other.base >= base && other.base - base < size &&
           other.size <= size - (other.base - base);
  }
  constexpr bool overlaps(Range other) const noexcept {
    return size != 0 && other.size != 0 &&
           (other.base >= base ? other.base - base < size : base - other.base < other.size);
  }
  friend constexpr bool operator==(Range, Range) = default;
};

}  // namespace mm
