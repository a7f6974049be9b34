// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <concepts>
#include <span>

#include "core/base/types.hpp"

/// The bytes of a secure policy, binary format V1.0 (core/policy/FORMAT.md 1), and reading them without going beyond
/// them. Pure functions; nothing here keeps state.
namespace mm::policy {

enum class Type : u32 { Mem = 1, Io = 2, Msr = 3, Instruction = 4, SaveState = 5 };
enum class AccessAttr : u8 { AllowList = 0, DenyList = 1 };
/// Bits of the attribute fields. A request carries exactly one of Read, Write, Execute.
inline constexpr u16 kRead = 1;
inline constexpr u16 kWrite = 2;
inline constexpr u16 kExecute = 4;
inline constexpr u16 kStrictWidth = 8;
inline constexpr u16 kCondRead = 0x10;
inline constexpr u16 kCondWrite = 0x20;
enum class Instruction : u16 { Cli = 0, Wbinvd = 1, Hlt = 2 };
enum class SaveStateField : u32 { Rax = 0, IoTrap = 1, Other = 0xFFFFFFFF };
/// Direction of the I/O trap that raised the MMI of the CPU whose save state is read.
enum class IoTrap : u32 { None = 0, Read = 1, Write = 2 };

/// Most bytes of a policy: what loader, supervisor and tools take. An allow list of every port, MSR and field that a
/// platform uses has some hundred entries of 8 bytes; this is room for 8,000.
inline constexpr u64 kMaxBytes = 64 << 10;
inline constexpr u64 kHeaderSize = 40;
inline constexpr u64 kSizeAt = 4;  ///< in the header: bytes of the whole blob
inline constexpr u64 kRootSize = 24;
inline constexpr u64 kMemDescriptorSize = 24;

/// Bytes of one descriptor; 0 for a type that does not exist.
constexpr u64 descriptor_size(u32 type) noexcept {
  constexpr u64 kSizes[] = {0, 24, 8, 8, 8, 16};
  return type < 6 ? kSizes[type] : 0;
}

/// One policy root (SMM_SUPV_POLICY_ROOT_V1), fields that matter.
struct Root {
  u32 type = 0;
  u32 offset = 0;  ///< of the descriptor array, from the start of the blob
  u32 count = 0;
  u8 access_attr = 0;
};

/// A blob whose header and arrays were not necessarily checked: every accessor is bounded by the span and gives 0
/// beyond it.
class View {
 public:
  constexpr View() noexcept = default;
  constexpr explicit View(std::span<std::byte const> bytes) noexcept : bytes_(bytes) {}

  template <std::unsigned_integral T>
  constexpr T get(u64 offset) const noexcept {
    if (offset > bytes_.size() || bytes_.size() - offset < sizeof(T)) {
      return 0;
    }
    u64 v = 0;
    for (u64 i = 0; i < sizeof(T); ++i) {
      v |= static_cast<u64>(std::to_integer<u8>(bytes_[offset + i])) << (8 * i);
    }
    return static_cast<T>(v);
  }
  constexpr u64 bytes() const noexcept { return bytes_.size(); }
  constexpr u32 size() const noexcept { return get<u32>(kSizeAt); }
  constexpr u32 root_offset() const noexcept { return get<u32>(32); }
  constexpr u32 root_count() const noexcept { return get<u32>(36); }
  constexpr u64 root_at(u32 i) const noexcept { return root_offset() + u64{i} * kRootSize; }
  constexpr Root root(u32 i) const noexcept {
    u64 const at = root_at(i);
    return {get<u32>(at + 8), get<u32>(at + 12), get<u32>(at + 16), get<u8>(at + 20)};
  }

 private:
  std::span<std::byte const> bytes_;
};

/// Byte offset of the root of `type`; 0 when the blob has none.
constexpr u64 find_root(View v, Type type) noexcept {
  for (u32 i = 0; i < v.root_count(); ++i) {
    if (v.root(i).type == static_cast<u32>(type)) {
      return v.root_at(i);
    }
  }
  return 0;
}

namespace detail {

/// The interval that a MEM, IO or MSR descriptor covers, [base, base + size).
struct Span {
  u64 base = 0;
  u64 size = 0;
  bool strict = false;
};
constexpr Span span_of(View v, Type type, u64 at) noexcept {
  switch (type) {
    case Type::Mem:
      return {v.get<u64>(at), v.get<u64>(at + 8), false};
    case Type::Io:
      return {v.get<u16>(at), v.get<u16>(at + 2), (v.get<u16>(at + 4) & kStrictWidth) != 0};
    case Type::Msr:
    case Type::Instruction:  // neither of these two has a span: interval_of()
    case Type::SaveState:
      break;
  }
  return {v.get<u32>(at), v.get<u16>(at + 4), false};
}
constexpr bool contains(Span outer, Span inner) noexcept {
  return inner.base >= outer.base && inner.base - outer.base < outer.size &&
         inner.size <= outer.size - (inner.base - outer.base);
}
constexpr bool overlaps(Span a, Span b) noexcept {
  return a.size != 0 && b.size != 0 && (b.base >= a.base ? b.base - a.base < a.size : a.base - b.base < b.size);
}

}  // namespace detail

}  // namespace mm::policy
