// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <type_traits>

#include "core/policy/check.hpp"
#include "core/policy/layout.hpp"

/// Secure policy, binary format V1.0 (core/policy/FORMAT.md): what ring 3 may ask the supervisor to do for it.
/// Pure functions over the bytes of a blob; nothing here keeps state. layout.hpp has the format, check.hpp what a blob
/// must fulfil; this file decides.
namespace mm::policy {

namespace detail {

/// The root that find_root() has found.
constexpr Root root_from(View v, u64 at) noexcept { return v.get<Root>(at); }
constexpr Status verdict(bool match, u8 access_attr) noexcept {
  bool const allow_list = access_attr == static_cast<u8>(AccessAttr::AllowList);
  return match == allow_list ? Status::Success : Status::AccessDenied;
}

template <Type kType>
using DescriptorOf = std::conditional_t<kType == Type::Io, IoDescriptor, MsrDescriptor>;

/// An allow list must contain the access in one descriptor; a deny list matches at any overlap; a strict one only
/// exactly. What does not overlap the access never matches.
constexpr bool matches(Span s, Span access, bool deny) noexcept {
  return s.strict ? s.base == access.base && s.size == access.size : (deny ? overlaps(s, access) : contains(s, access));
}

template <Type kType>
constexpr Status decide_span(View v, Span access, u16 wanted) noexcept {
  using Descriptor = DescriptorOf<kType>;
  u64 const at = find_root(v, kType);
  if (at == 0) {
    return Status::AccessDenied;
  }
  Root const root = root_from(v, at);
  bool const deny = root.access_attr == static_cast<u8>(AccessAttr::DenyList);
  bool match = false;
  for (u64 i = 0; i < root.count && !match; ++i) {
    u64 const d = root.offset + i * sizeof(Descriptor);
    if ((v.get<Descriptor>(d).attributes & wanted) == 0) {
      continue;
    }
    match = matches(span_of(v, kType, d), access, deny);
  }
  return verdict(match, root.access_attr);
}

}  // namespace detail

/// Whether these are accesses that a decision is about.
constexpr bool is_msr_question(u16 access) noexcept { return access == kRead || access == kWrite; }
constexpr bool is_io_question(u64 port, u64 width, u16 access) noexcept {
  return (access == kRead || access == kWrite) && (width == 1 || width == 2 || width == 4) && port <= 0xFFFF &&
         port + width <= 0x1'0000;
}

/// May ring 3 read (kRead) or write (kWrite) this MSR? InvalidParameter: another access. AccessDenied: no, or no MSR
/// root.
constexpr Status decide_msr(View v, u32 msr, u16 access) noexcept {
  if (!is_msr_question(access)) {
    return Status::InvalidParameter;
  }
  return detail::decide_span<Type::Msr>(v, {msr, 1, false}, access);
}

/// Port access of `width` bytes. InvalidParameter: access, width not 1/2/4, port or its end beyond 64 KiB.
constexpr Status decide_io(View v, u64 port, u64 width, u16 access) noexcept {
  if (!is_io_question(port, width, access)) {
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
    auto const d = v.get<InstructionDescriptor>(root.offset + i * sizeof(InstructionDescriptor));
    match = d.index == index && (d.attributes & kExecute) != 0;
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
    auto const d = v.get<SaveStateDescriptor>(root.offset + i * sizeof(SaveStateDescriptor));
    if (d.field != static_cast<u32>(field)) {
      continue;
    }
    bool const plain = (d.attributes & kRead) != 0 && (deny || (d.condition == 0 && (d.attributes & kCondRead) == 0));
    bool const conditional =
        (d.attributes & kCondRead) != 0 && (deny || (trap != IoTrap::None && d.condition == static_cast<u32>(trap)));
    match = plain || conditional;
  }
  return detail::verdict(match, root.access_attr);
}

}  // namespace mm::policy
