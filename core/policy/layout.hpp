// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <span>

#include "core/base/types.hpp"

/// Layout of the secure policy, binary format V1.0 (core/policy/FORMAT.md 1): byte-exact structs, and bounded access to
/// a blob of them.
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
/// SMM_SUPV_SECURE_POLICY_DATA_V1_0.
struct Header {
  u16 minor = 0;
  u16 major = 0;
  u32 size = 0;  ///< of the whole blob
  u32 memory_policy_offset = 0;
  u32 memory_policy_count = 0;
  u32 flags = 0;
  u32 capabilities = 0;
  u64 reserved = 0;
  u32 root_offset = 0;  ///< of the root array, from the start of the blob
  u32 root_count = 0;
};
static_assert(sizeof(Header) == 40);

/// SMM_SUPV_POLICY_ROOT_V1. Roots are stepped by their size here, whatever `bytes` says.
struct Root {
  u32 version = 0;
  u32 bytes = 0;
  u32 type = 0;    ///< Type
  u32 offset = 0;  ///< of the descriptor array, from the start of the blob
  u32 count = 0;
  u8 access_attr = 0;  ///< AccessAttr
  u8 reserved0 = 0;
  u16 reserved1 = 0;
};
static_assert(sizeof(Root) == 24);

/// MEM_DESCRIPTOR_V1_0.
struct MemDescriptor {
  u64 base = 0;
  u64 size = 0;
  u32 attributes = 0;
  u32 reserved = 0;
  friend constexpr bool operator==(MemDescriptor const&, MemDescriptor const&) = default;
};
/// IO_DESCRIPTOR_V1_0.
struct IoDescriptor {
  u16 port = 0;
  u16 length = 0;  ///< with kStrictWidth the one width that is meant
  u16 attributes = 0;
  u16 reserved = 0;
};
/// MSR_DESCRIPTOR_V1_0.
struct MsrDescriptor {
  u32 msr = 0;
  u16 length = 0;
  u16 attributes = 0;
};
/// INSTRUCTION_DESCRIPTOR_V1_0.
struct InstructionDescriptor {
  u16 index = 0;  ///< Instruction
  u16 attributes = 0;
  u32 reserved = 0;
};
/// SAVE_STATE_DESCRIPTOR_V1_0.
struct SaveStateDescriptor {
  u32 field = 0;  ///< SaveStateField
  u32 attributes = 0;
  u32 condition = 0;  ///< IoTrap
  u32 reserved = 0;
};
static_assert(sizeof(MemDescriptor) == 24 && sizeof(IoDescriptor) == 8 && sizeof(MsrDescriptor) == 8);
static_assert(sizeof(InstructionDescriptor) == 8 && sizeof(SaveStateDescriptor) == 16);

inline constexpr u64 kHeaderSize = sizeof(Header);
inline constexpr u64 kRootSize = sizeof(Root);
inline constexpr u64 kMemDescriptorSize = sizeof(MemDescriptor);
inline constexpr u64 kSizeAt = offsetof(Header, size);

/// Bytes of one descriptor; 0 for a type that does not exist.
constexpr u64 descriptor_size(u32 type) noexcept {
  switch (static_cast<Type>(type)) {
    case Type::Mem:
      return sizeof(MemDescriptor);
    case Type::Io:
      return sizeof(IoDescriptor);
    case Type::Msr:
      return sizeof(MsrDescriptor);
    case Type::Instruction:
      return sizeof(InstructionDescriptor);
    case Type::SaveState:
      return sizeof(SaveStateDescriptor);
  }
  return 0;
}

/// A blob whose header and arrays were not necessarily checked: every accessor is bounded by the span and gives zeros
/// beyond it.
class View {
 public:
  constexpr View() noexcept = default;
  constexpr explicit View(std::span<std::byte const> bytes) noexcept : bytes_(bytes) {}

  /// The struct at `offset`; all zero when it is not entirely inside the span.
  template <typename T>
  constexpr T get(u64 offset) const noexcept {
    std::array<std::byte, sizeof(T)> raw{};
    if (offset <= bytes_.size() && bytes_.size() - offset >= sizeof(T)) {
      for (u64 i = 0; i < sizeof(T); ++i) {
        raw[i] = bytes_[offset + i];
      }
    }
    return std::bit_cast<T>(raw);
  }
  constexpr u64 bytes() const noexcept { return bytes_.size(); }
  constexpr Header header() const noexcept { return get<Header>(0); }
  constexpr u32 size() const noexcept { return get<u32>(kSizeAt); }
  constexpr u32 root_offset() const noexcept { return get<u32>(offsetof(Header, root_offset)); }
  constexpr u32 root_count() const noexcept { return get<u32>(offsetof(Header, root_count)); }
  constexpr u64 root_at(u32 i) const noexcept { return root_offset() + u64{i} * kRootSize; }
  constexpr Root root(u32 i) const noexcept { return get<Root>(root_at(i)); }

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

/// What a descriptor covers, [base, base + size). An instruction or a save-state field is a point.
struct Span {
  u64 base = 0;
  u64 size = 0;
  bool strict = false;
};
constexpr Span span_of(View v, Type type, u64 at) noexcept {
  switch (type) {
    case Type::Mem: {
      auto const d = v.get<MemDescriptor>(at);
      return {d.base, d.size, false};
    }
    case Type::Io: {
      auto const d = v.get<IoDescriptor>(at);
      return {d.port, d.length, (d.attributes & kStrictWidth) != 0};
    }
    case Type::Msr: {
      auto const d = v.get<MsrDescriptor>(at);
      return {d.msr, d.length, false};
    }
    case Type::Instruction:
      return {v.get<InstructionDescriptor>(at).index, 1, false};
    case Type::SaveState:
      return {v.get<SaveStateDescriptor>(at).field, 1, false};
  }
  return {};
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
