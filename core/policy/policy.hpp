// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <bit>
#include <concepts>
#include <span>

#include "core/base/types.hpp"

/// Secure policy, binary format V1.0 (supervisor.md 6.1-6.3): what ring 3 may ask the supervisor to do for it.
/// Pure functions over the bytes of a blob; nothing here keeps state.
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
  Overlap,          ///< MEM or MSR: two descriptors overlap; IO: as supervisor.md 6.3
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
constexpr bool contains(Span outer, Span inner) noexcept {
  return inner.base >= outer.base && inner.base - outer.base < outer.size &&
         inner.size <= outer.size - (inner.base - outer.base);
}
constexpr bool overlaps(Span a, Span b) noexcept {
  return a.size != 0 && b.size != 0 && (b.base >= a.base ? b.base - a.base < a.size : a.base - b.base < b.size);
}

constexpr bool reserved_is_zero(View v, Type type, u64 at) noexcept {
  switch (type) {
    case Type::Mem:
      return v.get<u32>(at + 20) == 0;
    case Type::Io:
      return v.get<u16>(at + 6) == 0;
    case Type::Msr:
      return true;
    case Type::Instruction:
      return v.get<u32>(at + 4) == 0;
    case Type::SaveState:
      return v.get<u32>(at + 12) == 0;
  }
  return false;
}

/// An earlier strict IO entry forbids a later superset of it, an earlier non-strict one any overlap.
constexpr bool collide(Type type, Span earlier, Span later) noexcept {
  return type == Type::Io && earlier.strict ? contains(later, earlier) : overlaps(earlier, later);
}

/// The same for every type: an instruction or a field is a point.
constexpr Span interval_of(View v, Type type, u64 at) noexcept {
  switch (type) {
    case Type::Instruction:
      return {v.get<u16>(at), 1, false};
    case Type::SaveState:
      return {v.get<u32>(at), 1, false};
    case Type::Mem:
    case Type::Io:
    case Type::Msr:
      break;
  }
  return span_of(v, type, at);
}

constexpr Problem check_save_state(View v, u64 at) noexcept {
  u32 const attributes = v.get<u32>(at + 4);
  if ((attributes & (kWrite | kCondWrite)) != 0) {
    return Problem::SaveStateWrite;
  }
  if ((attributes & kRead) != 0 && (attributes & kCondRead) != 0) {
    return Problem::SaveStateReadTwice;
  }
  return v.get<u32>(at + 8) != 0 && (attributes & kCondRead) == 0 ? Problem::SaveStateCondition : Problem::None;
}

/// Compares descriptor `at` with an earlier one of the same array.
constexpr Problem check_pair(View v, Type type, u64 earlier, u64 at) noexcept {
  switch (type) {
    case Type::Instruction:
      return v.get<u16>(earlier) == v.get<u16>(at) ? Problem::DuplicateInstruction : Problem::None;
    case Type::SaveState:
      return v.get<u32>(earlier) == v.get<u32>(at) ? Problem::DuplicateField : Problem::None;
    case Type::Mem:
    case Type::Io:
    case Type::Msr:
      break;
  }
  return collide(type, span_of(v, type, earlier), span_of(v, type, at)) ? Problem::Overlap : Problem::None;
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
    Span const span = interval_of(view_, type, at);
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
  if (v.get<u16>(0) != 0 || v.get<u16>(2) != 1) {
    return {Problem::Version, 0};
  }
  if (v.get<u32>(12) != 0 || v.get<u32>(16) != 0 || v.get<u32>(20) != 0 || v.get<u64>(24) != 0) {
    return {Problem::HeaderReserved, 12};
  }
  if (v.size() < kHeaderSize || v.size() > v.bytes()) {
    return {Problem::DeclaredSize, 4};
  }
  if (v.root_offset() < kHeaderSize || v.root_offset() > v.size() ||
      v.root_count() > (v.size() - v.root_offset()) / kRootSize) {
    return {Problem::RootArray, 32};
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
  if (v.get<u8>(at + 21) != 0 || v.get<u16>(at + 22) != 0) {
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

/// Union of the static checks of both reference implementations (supervisor.md 6.3), and of the stricter reading where
/// they leave a case open: descriptors that are empty or wrap, and access attributes that are neither list. `Earlier`
/// answers as EarlierDescriptors does, for callers that have memory to answer faster.
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
    return {Problem::SizeSum, 4};
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

constexpr Root root_from(View v, u64 at) noexcept {
  return {v.get<u32>(at + 8), v.get<u32>(at + 12), v.get<u32>(at + 16), v.get<u8>(at + 20)};
}
constexpr Status verdict(bool match, u8 access_attr) noexcept {
  bool const allow_list = access_attr == static_cast<u8>(AccessAttr::AllowList);
  return match == allow_list ? Status::Success : Status::AccessDenied;
}

/// An allow list must contain the access in one descriptor; a deny list matches at any overlap; a strict one only
/// exactly.
template <Type kType>
constexpr Status decide_span(View v, Span access, u16 wanted) noexcept {
  constexpr u64 kStep = descriptor_size(static_cast<u32>(kType));
  u64 const at = find_root(v, kType);
  if (at == 0) {
    return Status::AccessDenied;
  }
  Root const root = root_from(v, at);
  bool const deny = root.access_attr == static_cast<u8>(AccessAttr::DenyList);
  bool match = false;
  for (u64 i = 0; i < root.count && !match; ++i) {
    u64 const d = root.offset + i * kStep;
    u16 const attributes = v.get<u16>(kType == Type::Io ? d + 4 : d + 6);
    if ((attributes & wanted) == 0) {
      continue;
    }
    Span const s = span_of(v, kType, d);
    match =
        s.strict ? s.base == access.base && s.size == access.size : (deny ? overlaps(s, access) : contains(s, access));
  }
  return verdict(match, root.access_attr);
}

}  // namespace detail

/// May ring 3 read (kRead) or write (kWrite) this MSR? InvalidParameter: another access. AccessDenied: no, or no MSR
/// root.
constexpr Status decide_msr(View v, u32 msr, u16 access) noexcept {
  if (access != kRead && access != kWrite) {
    return Status::InvalidParameter;
  }
  return detail::decide_span<Type::Msr>(v, {msr, 1, false}, access);
}

/// Port access of `width` bytes. InvalidParameter: access, width not 1/2/4, port or its end beyond 64 KiB.
constexpr Status decide_io(View v, u64 port, u64 width, u16 access) noexcept {
  if ((access != kRead && access != kWrite) || (width != 1 && width != 2 && width != 4) || port > 0xFFFF ||
      port + width > 0x1'0000) {
    return Status::InvalidParameter;
  }
  return detail::decide_span<Type::Io>(v, {port, width, false}, access);
}

/// InvalidParameter: no such instruction. AccessDenied: refused, or no INSTRUCTION root.
constexpr Status decide_instruction(View v, u16 index) noexcept {
  if (index > static_cast<u16>(Instruction::Hlt)) {
    return Status::InvalidParameter;
  }
  u64 const at = find_root(v, Type::Instruction);
  if (at == 0) {
    return Status::AccessDenied;
  }
  Root const root = detail::root_from(v, at);
  bool match = false;
  for (u64 i = 0; i < root.count && !match; ++i) {
    u64 const d = root.offset + i * 8;
    match = v.get<u16>(d) == index && (v.get<u16>(d + 2) & kExecute) != 0;
  }
  return detail::verdict(match, root.access_attr);
}

/// Save-state field, given the I/O trap that the CPU's save state records. No SAVE_STATE root: everything is allowed.
/// A conditional descriptor matches only a trap in its direction, and Read only without a condition; on a deny list
/// both match always (the stricter way).
constexpr Status decide_save_state(View v, SaveStateField field, IoTrap trap) noexcept {
  u64 const at = find_root(v, Type::SaveState);
  if (at == 0) {
    return Status::Success;
  }
  Root const root = detail::root_from(v, at);
  bool const deny = root.access_attr == static_cast<u8>(AccessAttr::DenyList);
  bool match = false;
  for (u64 i = 0; i < root.count && !match; ++i) {
    u64 const d = root.offset + i * 16;
    if (v.get<u32>(d) != static_cast<u32>(field)) {
      continue;
    }
    u32 const attributes = v.get<u32>(d + 4);
    u32 const condition = v.get<u32>(d + 8);
    bool const plain = (attributes & kRead) != 0 && (deny || (condition == 0 && (attributes & kCondRead) == 0));
    bool const conditional =
        (attributes & kCondRead) != 0 && (deny || (trap != IoTrap::None && condition == static_cast<u32>(trap)));
    match = plain || conditional;
  }
  return detail::verdict(match, root.access_attr);
}

}  // namespace mm::policy
