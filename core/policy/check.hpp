// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstddef>

#include "core/policy/layout.hpp"

/// Static checks of a policy (core/policy/FORMAT.md 3), before anything is decided by it.
namespace mm::policy {

/// What validate() found first. The order of the checks is the order of the enumerators up to DescriptorReserved.
enum class Problem : u64 {
  None = 0,
  TooShort,        ///< fewer than 40 bytes
  Version,         ///< not 1.0
  HeaderReserved,  ///< Reserved, Flags, Capabilities or MemoryPolicyCount is not 0
  DeclaredSize,    ///< Size below 40 or beyond the buffer
  RootArray,       ///< root array beyond Size
  UnknownType,
  DuplicateType,
  RootReserved,
  AccessAttribute,  ///< neither allow nor deny list
  DescriptorArray,  ///< descriptor array beyond Size
  SizeSum,          ///< header + roots + descriptors is not Size: gaps or shared arrays
  DescriptorReserved,
  EmptyOrWrapping,  ///< zero size, or an end beyond the address space of the type
  Overlap,          ///< MEM or MSR: two descriptors overlap; IO: core/policy/FORMAT.md 3
  DuplicateInstruction,
  DuplicateField,
  SaveStateWrite,      ///< WRITE or COND_WRITE on a save-state field
  SaveStateReadTwice,  ///< READ and COND_READ together
  SaveStateCondition,  ///< a condition without COND_READ
};
/// Result of validate(): `offset` is the byte offset of the offending structure in the blob.
struct Finding {
  Problem problem = Problem::None;
  u64 offset = 0;
  friend constexpr bool operator==(Finding, Finding) = default;
};

namespace detail {

constexpr bool fits(Span s, Type type) noexcept {
  if (s.size == 0) {
    return false;
  }
  if (type == Type::Mem) {
    return s.base <= UINT64_MAX - (s.size - 1);
  }
  u64 const limit = type == Type::Io ? 0x1'0000 : 0x1'0000'0000;
  return s.size <= limit - s.base;
}
constexpr bool reserved_is_zero(View v, Type type, u64 at) noexcept {
  switch (type) {
    case Type::Mem:
      return v.get<MemDescriptor>(at).reserved == 0;
    case Type::Io:
      return v.get<IoDescriptor>(at).reserved == 0;
    case Type::Msr:
      return true;
    case Type::Instruction:
      return v.get<InstructionDescriptor>(at).reserved == 0;
    case Type::SaveState:
      return v.get<SaveStateDescriptor>(at).reserved == 0;
  }
  return false;
}

/// An earlier strict IO entry forbids a later superset of it, an earlier non-strict one any overlap.
constexpr bool collide(Type type, Span earlier, Span later) noexcept {
  return type == Type::Io && earlier.strict ? contains(later, earlier) : overlaps(earlier, later);
}

constexpr Problem check_save_state(View v, u64 at) noexcept {
  auto const d = v.get<SaveStateDescriptor>(at);
  if ((d.attributes & (kWrite | kCondWrite)) != 0) {
    return Problem::SaveStateWrite;
  }
  if ((d.attributes & kRead) != 0 && (d.attributes & kCondRead) != 0) {
    return Problem::SaveStateReadTwice;
  }
  return d.condition != 0 && (d.attributes & kCondRead) == 0 ? Problem::SaveStateCondition : Problem::None;
}

/// Compares descriptor `at` with an earlier one of the same array.
constexpr Problem check_pair(View v, Type type, u64 earlier, u64 at) noexcept {
  if (!collide(type, span_of(v, type, earlier), span_of(v, type, at))) {
    return Problem::None;
  }
  return type == Type::Instruction ? Problem::DuplicateInstruction
         : type == Type::SaveState ? Problem::DuplicateField
                                   : Problem::Overlap;
}

/// The descriptors of one array that were looked at, as intervals: those of INSTRUCTION and SAVE_STATE are points.
/// Where the next one lies beyond all of them nothing can collide, so that a sorted array takes linear time.
class EarlierDescriptors {
 public:
  constexpr EarlierDescriptors(View v, Root root) noexcept : view_(v), root_(root) {}

  /// How descriptor `index` collides with an earlier one. Called once for each, in ascending order.
  constexpr Problem next(u64 index) noexcept {
    Type const type{root_.type};
    u64 const at = place(index);
    Span const span = span_of(view_, type, at);
    bool const beyond = index == 0 || span.base > last_ || span.base + (span.size - 1) < first_;
    for (u64 i = 0; !beyond && i < index; ++i) {
      if (Problem const p = check_pair(view_, type, place(i), at); p != Problem::None) {
        return p;
      }
    }
    first_ = span.base < first_ ? span.base : first_;
    last_ = span.base + (span.size - 1) > last_ ? span.base + (span.size - 1) : last_;
    return Problem::None;
  }

 private:
  constexpr u64 place(u64 index) const noexcept { return root_.offset + index * descriptor_size(root_.type); }

  View view_;
  Root root_;
  u64 first_ = UINT64_MAX;
  u64 last_ = 0;
};

template <typename Earlier>
constexpr Finding check_descriptors(View v, Root root) noexcept {
  Type const type{root.type};
  u64 const step = descriptor_size(root.type);
  Earlier earlier{v, root};
  for (u64 i = 0; i < root.count; ++i) {
    u64 const at = root.offset + i * step;
    if (!reserved_is_zero(v, type, at)) {
      return {Problem::DescriptorReserved, at};
    }
    if (type == Type::SaveState) {
      if (Problem const p = check_save_state(v, at); p != Problem::None) {
        return {p, at};
      }
    } else if (type != Type::Instruction && !fits(span_of(v, type, at), type)) {
      return {Problem::EmptyOrWrapping, at};
    }
    if (Problem const p = earlier.next(i); p != Problem::None) {
      return {p, at};
    }
  }
  return {};
}

constexpr Finding check_header(View v) noexcept {
  if (v.bytes() < kHeaderSize) {
    return {Problem::TooShort, 0};
  }
  Header const h = v.header();
  if (h.minor != 0 || h.major != 1) {
    return {Problem::Version, 0};
  }
  if (h.memory_policy_count != 0 || h.flags != 0 || h.capabilities != 0 || h.reserved != 0) {
    return {Problem::HeaderReserved, offsetof(Header, memory_policy_count)};
  }
  if (h.size < kHeaderSize || h.size > v.bytes()) {
    return {Problem::DeclaredSize, kSizeAt};
  }
  if (h.root_offset < kHeaderSize || h.root_offset > h.size || h.root_count > (h.size - h.root_offset) / kRootSize) {
    return {Problem::RootArray, offsetof(Header, root_offset)};
  }
  return {};
}

constexpr Finding check_root(View v, u32 i, u32& seen) noexcept {
  u64 const at = v.root_at(i);
  Root const root = v.root(i);
  u64 const step = descriptor_size(root.type);
  if (step == 0) {
    return {Problem::UnknownType, at};
  }
  if ((seen >> root.type & 1) != 0) {
    return {Problem::DuplicateType, at};
  }
  seen |= 1u << root.type;
  if (root.reserved0 != 0 || root.reserved1 != 0) {
    return {Problem::RootReserved, at};
  }
  if (root.access_attr > static_cast<u8>(AccessAttr::DenyList)) {
    return {Problem::AccessAttribute, at};
  }
  // A root without descriptors has no array: its offset may be anything, the end of the blob included.
  if (root.count != 0 && (root.offset > v.size() || root.count > (v.size() - root.offset) / step)) {
    return {Problem::DescriptorArray, at};
  }
  return {};
}

/// The bytes of a root's descriptors; none without descriptors.
constexpr Span array_of(Root root) noexcept { return {root.offset, root.count * descriptor_size(root.type), false}; }

/// Descriptors that lie in the header, in the root array or in the array of an earlier root.
constexpr bool shares_bytes(View v, u32 i) noexcept {
  Span const mine = array_of(v.root(i));
  bool shares = overlaps(mine, {0, kHeaderSize, false}) ||
                overlaps(mine, {v.root_offset(), u64{v.root_count()} * kRootSize, false});
  for (u32 j = 0; j < i; ++j) {
    shares = shares || overlaps(mine, array_of(v.root(j)));
  }
  return shares;
}

}  // namespace detail

/// Union of the static checks of both reference implementations (core/policy/FORMAT.md 3), and of the stricter reading
/// where they leave a case open: descriptors that are empty or wrap, and access attributes that are neither list.
/// `Earlier` answers as EarlierDescriptors does, for callers that have memory to answer faster.
template <typename Earlier = detail::EarlierDescriptors>
constexpr Finding validate(std::span<std::byte const> blob) noexcept {
  View const v(blob);
  if (Finding const f = detail::check_header(v); f.problem != Problem::None) {
    return f;
  }
  u64 sum = kHeaderSize + u64{v.root_count()} * kRootSize;
  u32 seen = 0;
  for (u32 i = 0; i < v.root_count(); ++i) {
    if (Finding const f = detail::check_root(v, i, seen); f.problem != Problem::None) {
      return f;
    }
    sum += u64{v.root(i).count} * descriptor_size(v.root(i).type);
  }
  if (sum != v.size()) {
    return {Problem::SizeSum, kSizeAt};
  }
  // The sum is right too when what one root shares with another is missing elsewhere.
  for (u32 i = 0; i < v.root_count(); ++i) {
    if (detail::shares_bytes(v, i)) {
      return {Problem::SizeSum, v.root_at(i)};
    }
  }
  for (u32 i = 0; i < v.root_count(); ++i) {
    if (Finding const f = detail::check_descriptors<Earlier>(v, v.root(i)); f.problem != Problem::None) {
      return f;
    }
  }
  return {};
}

}  // namespace mm::policy
